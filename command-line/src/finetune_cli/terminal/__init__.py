# SPDX-License-Identifier: Apache-2.0
"""Exit codes, errors, progress, texts and `--version` of `finetune` and `kubectl finetune`.

Doors: `commands.new_parser`, `exits.exit_code_of`, `output.say` and `output.tell`,
`display.Display` and `texts`.
"""
