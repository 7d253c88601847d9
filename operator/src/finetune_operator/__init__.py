# SPDX-License-Identifier: Apache-2.0
"""Watches FineTuneJobs and runs them. The rooms, from the ground up:

- `objects`, `telemetry`, `settings`, `work_queue`: names, metrics, settings and queues; they import
  no room.
- `job`: one FineTuneJob from body to status. `schedule`: one FineTuneSchedule.
- `kube`: access to the Kubernetes API for both.
- `progress`: trainers' reports. `webhook`: admission reviews.
- `runtime`: combines them, and owns tasks and time. `__main__` starts it.

No room imports one above it.
"""
