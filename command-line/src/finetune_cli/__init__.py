# SPDX-License-Identifier: Apache-2.0
"""The command line: `finetune` and `kubectl finetune`. The rooms, from the ground up:

- `terminal`: exit codes, errors, progress and texts of both commands.
- `files`: job files as text: read, checked, and changed by `--set`.
- `local`: `finetune`, which asks no cluster. `cluster`: `kubectl finetune`, which asks one.

The image runs `python3 -m finetune_cli`, which is `finetune`.
"""
