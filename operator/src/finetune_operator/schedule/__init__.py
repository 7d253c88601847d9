# SPDX-License-Identifier: Apache-2.0
"""One FineTuneSchedule from body to status: a CronJob whose jobs are FineTuneJobs.

Door: `reconcile.reconcile_schedule`. Only `cluster` does I/O.

- `spec`: parses the raw schedule into a `Schedule`; checks its job's config like that of a job.
- `due`: the times that should have started by now, counted as Kubernetes' CronJob controller does.
- `observation`: the schedule's running and finished jobs, and the last one started.
- `decision`: a list of rules, the first match wins.
- `child`: the FineTuneJob of one scheduled time.
- `status`, `events`: the parts that users read.
- `cluster`: the calls to the API server.
- `reconcile`: composes the above; decides nothing.
"""
