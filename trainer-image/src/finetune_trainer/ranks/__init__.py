# SPDX-License-Identifier: Apache-2.0
"""What runs in the ranks: the only part that imports torch, and nothing else imports it.

Doors: `launcher`, `rank` and `merge`, three processes, and `arguments`, for the config's schema.

- `launcher`: torch's elastic launcher, tied to the supervisor's life.
- `rank`: one rank's `main`: every ending becomes a result file.
- `training`: what a rank does, from top to bottom.
- `arguments/`: the config as TRL's parser reads it, and the keys that are ours.
- `world`: whether as many processes train together as were promised.
- `unpickling`: a checkpoint holds data and no code, whoever wrote it.
- `data/`: from what a config names to what TRL trains on.
- `building`: the trainer, as TRL's `sft.py` builds it.
- `trying`: one batch is computed before training begins, and what is raised there is told.
- `callbacks/`: what the trainer's loop calls: progress, stopping, handing over checkpoints.
- `evaluation/`: how good the model is while it trains.
- `verification`: what was saved is loaded again and must answer.
- `merge`: the process that merges an adapter into its base, once it is published.
"""
