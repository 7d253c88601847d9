# SPDX-License-Identifier: Apache-2.0
"""One FineTuneSchedule from body to status: a CronJob whose jobs are FineTuneJobs.

Door: `reconcile.reconcile_schedule`. All is pure but for `cluster`, the outside world.

- `spec`: the raw schedule becomes a `Schedule`, its job's config checked as a job's own.
- `due`: what should have been started by now, as Kubernetes' CronJob controller counts it.
- `observation`: which of its jobs run, which have ended, what was started last.
- `decision`: rules, the first that matches wins.
- `child`: the FineTuneJob of one scheduled time.
- `status`, `events`: what users read.
- `cluster`: the outside world as a few verbs.
- `reconcile`: composes the above; decides nothing.
"""
