# SPDX-License-Identifier: Apache-2.0
"""Watches FineTuneJobs and runs them. The package in reading order:

The straight line, pure but for `cluster`:
- `spec`, `guard_rails`: the raw job becomes a `FineTuneJob`, if the platform team allows it.
- `observation`, `verdict`: what the children show; why an attempt failed.
- `queueing`: what Kueue says of a Job that waits.
- `attempts`: the record of all tries, which outlives the children.
- `decision`: rules, the first that matches wins.
- `desired`: the manifests of one attempt.
- `status`, `figures`, `conditions`, `events`: what users read.
- `loss_history`, `gpu_hours`, `status_limit`: its curve, its costs, its size.
- `cluster`: the outside world as five verbs.
- `reconcile`: composes the above; decides nothing.

Around it:
- `memory`, `sweep`: the objects seen last; a list now and then for what watches miss.
- `work_queue`, `worker`: keys, each once; errors become what happens next.
- `leadership`, `kube_lease`: one replica reconciles.
- `progress_server`, `authentication`, `progress_writer`: what trainers report.
- `webhook`, `webhook_server`, `admission`: jobs are reviewed before they are stored.
- `rotation`, `certificates`, `ca_bundle`: why the API server believes the webhook.
- `kube_api`, `kube_cluster`, `kube_queue`: the API server.
- `replica`, `handlers`, `__main__`: put together, told by kopf, started.

`naming`, `manifest`, `timestamps`, `errors`, `settings`, `logs` serve them all.
"""
