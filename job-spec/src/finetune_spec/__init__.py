# SPDX-License-Identifier: Apache-2.0
"""What a job means, checked alike in operator, webhook and trainer; changes with every TRL.

The rooms, from the ground up; standard library and the contract only:

- `config`: a config of TRL's SFT, parsed and checked. `cron`: the times of a schedule.
- `attention`: which one a config gets. `memory`: what a config needs on each GPU.
- `pods`: what a job says about its pods.
- `job`, `schedule`: what no schema can check of a spec; `lost_nulls`: what kubectl kept to itself.
- `quantities`: memory and time as people read them.
- `shape`: what the API server's schema checks, for whoever has none at hand.
"""
