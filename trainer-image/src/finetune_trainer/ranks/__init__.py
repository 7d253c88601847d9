# SPDX-License-Identifier: Apache-2.0
"""What runs in the ranks. The only part that imports torch, and nothing else imports it.

- `launcher`: torch's elastic launcher, tied to the supervisor's life.
- `rank`: one rank's `main`: every ending becomes a result file.
- `training`: config and trainer, as TRL's `sft.py` does it.
- `data_arguments`: the keys of a config that are ours.
- `dataset`: the data set, and whether it can teach anything.
- `system_message`: a system message for the conversations that have none.
- `callbacks`: progress, stopping at a step boundary, handing over checkpoints.
- `samples`: answers to held-out prompts.
- `verification`: what was saved is loaded again and must answer.
"""
