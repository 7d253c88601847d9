# SPDX-License-Identifier: Apache-2.0
"""The trainer: fetch, check, train, verify, publish, report. The rooms, from the ground up:

- `failures`: what can go wrong, and whose mistake it is.
- `exchange`: what supervisor and ranks leave for each other. `storage`: stores and folders.
- `checkpoints`, `progress`: saved, and told, while training goes on.
- `plan`: run + hardware -> what is trained, and how. `inputs`: models and data in the work folder.
- `publication`: the artifact, its report and the hub.
- `ranks`: what trains. `supervision`: starts the ranks and watches them.
- `attempt`: the straight line through all of it. `__main__`: the container.
- `config_schema`: prints the config's JSON Schema, for `make generate`.

No room imports one above it. Only `ranks` and `config_schema` import torch.
"""
