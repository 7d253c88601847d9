# SPDX-License-Identifier: Apache-2.0
"""Reads the job file that a command names."""

from collections.abc import Sequence
from pathlib import Path

from finetune_cli.files.job_file import Job, parse_job
from finetune_cli.files.overrides import parse_overrides
from finetune_cli.terminal.exits import NO_INPUT, Refused


def read_job(path: Path, settings: Sequence[str], *, output: str | None = None) -> Job:
    """The job in a file, with the overrides of the command line.

    Raises:
        Refused: the file cannot be read.
        AttemptFailed: the job, or a `--set`, must be changed.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}", NO_INPUT) from None
    return parse_job(content, str(path), output=output, overrides=parse_overrides(settings))
