# SPDX-License-Identifier: Apache-2.0
"""`python3 -m finetune_cli`: `finetune` where no script is installed, as in the trainer image."""

from finetune_cli.local.command_line import console

if __name__ == "__main__":
    console()
