# SPDX-License-Identifier: Apache-2.0
"""The trainer: fetch, check, train, verify, publish, report. The rooms, from the ground up:

- `failures`: errors and their categories.
- `exchange`: files that supervisor and ranks exchange. `storage`: object stores and directories.
- `checkpoints`, `progress`: saved and reported during training.
- `plan`: run + hardware -> training plan. `inputs`: models and data in the work directory.
- `publication`: the artifact, its report and the hub.
- `ranks`: the training code. `supervision`: starts the ranks and watches them.
- `attempt`: the sequence of all steps. `__main__`: the container's entry point.
- `config_schema`: prints the config's JSON Schema, for `make generate`.

No room imports one above it. Only `ranks` and `config_schema` import torch.
"""
