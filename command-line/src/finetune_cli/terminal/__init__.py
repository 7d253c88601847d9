# SPDX-License-Identifier: Apache-2.0
"""What `finetune` and `kubectl finetune` share: exit codes, errors, progress, texts, `--version`.

Doors: `commands.new_parser`, `exits.exit_code_of`, `output.say` and `output.tell`,
`display.Display` and `texts`.
"""
