# SPDX-License-Identifier: Apache-2.0
"""The code of the ranks: the only room that imports torch, and no other room imports it.

Doors: `launcher`, `rank` and `merge`, three processes, and `arguments`, for the config's schema.

- `launcher`: torch's elastic launcher, tied to the supervisor's lifetime.
- `rank`: one rank's `main`: every exit writes a result file.
- `training`: the steps of a rank, in order.
- `arguments/`: the config parsed by TRL's parser, and our own keys.
- `world`: checks that the expected number of processes has joined.
- `unpickling`: checkpoints are loaded as data, never as code.
- `data/`: loads the data of a config into TRL's format.
- `building`: the trainer, as TRL's `sft.py` builds it.
- `averaging`: saves the average of optimizers that train at other weights.
- `trying`: computes one batch before training and reports its errors.
- `callbacks/`: callbacks of the training loop: progress, stopping, handing over checkpoints.
- `evaluation/`: evaluation during training.
- `verification`: loads the saved artifact again and checks its answers.
- `merge`: the process that merges a published adapter into its base model.
"""
