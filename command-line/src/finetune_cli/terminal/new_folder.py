# SPDX-License-Identifier: Apache-2.0
"""The target directory of a download."""

from pathlib import Path

from finetune_cli.terminal.exits import Refused


def require_new(folder: Path) -> None:
    """
    Raises:
        Refused: it contains files, which a download could overwrite.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused(f"{folder} already exists and is not an empty directory")
