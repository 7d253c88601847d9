# SPDX-License-Identifier: Apache-2.0
"""Watches FineTuneJobs and runs them. The rooms, from the ground up:

- `objects`, `telemetry`, `settings`, `work_queue`: words, counts and queues; they import no room.
- `job`: one FineTuneJob from body to status. `schedule`: one FineTuneSchedule.
- `kube`: the outside world of both.
- `progress`: what trainers report. `webhook`: what is reviewed before it is stored.
- `runtime`: puts them together, and owns tasks and time. `__main__` starts it.

No room imports one above it.
"""
