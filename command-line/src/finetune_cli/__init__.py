# SPDX-License-Identifier: Apache-2.0
"""The command line: `finetune` and `kubectl finetune`. The rooms, from the ground up:

- `terminal`: exit codes, errors, progress and texts of both commands.
- `files`: reads and checks job files, and changes them for `--set`.
- `local`: `finetune`, which needs no cluster. `cluster`: `kubectl finetune`, which reads from one.

The image runs `python3 -m finetune_cli`, which is `finetune`.
"""
