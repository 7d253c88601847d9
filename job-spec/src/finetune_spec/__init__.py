# SPDX-License-Identifier: Apache-2.0
"""Checks and interprets a job, for operator, webhook and trainer; changes with every TRL.

The rooms, from the ground up; standard library and the contract only:

- `config`: parses and checks a config of TRL's SFT. `cron`: the times of a schedule.
- `attention`: the implementation that a config gets. `memory`: the memory it needs per GPU.
- `pods`: the pod fields of a job.
- `job`, `schedule`: checks beyond the schema; `lost_nulls`: nulls that kubectl dropped.
- `quantities`: memory and time in readable units.
- `shape`: the checks of the API server's schema, for use without an API server.
"""
