# SPDX-License-Identifier: Apache-2.0
"""Shows a job until it is finished: a bar on a terminal, a line for each change elsewhere."""

import sys
from collections.abc import Iterator
from typing import TextIO

from finetune_cli.cluster import job_texts
from finetune_cli.cluster.job_texts import Body
from finetune_cli.cluster.kubectl import Kubectl
from finetune_cli.terminal.display import Display, every_percent

EVERY_PERCENT = 10
"""The progress between two lines, if no bar can be drawn."""


def watch(kubectl: Kubectl, name: str, stream: TextIO | None = None) -> Body:
    """The finished job.

    Raises:
        Refused: it does not exist, or was deleted.
    """
    # This reports a missing job, which a watch does not.
    job = kubectl.job(name)
    display = WatchDisplay(stream or sys.stderr)
    try:
        for seen in _versions(kubectl, name, job):
            job = seen
            display.show(job)
            if job_texts.is_over(job):
                break
    finally:
        display.close()
    return job


def _versions(kubectl: Kubectl, name: str, job: Body) -> Iterator[Body]:
    """All versions from this one on: a watch that has ended is started again."""
    while not job_texts.is_over(job):
        yield from kubectl.follow(name)
        job = kubectl.job(name)
    yield job


class WatchDisplay:
    """Shows the changes in a job's status."""

    def __init__(self, stream: TextIO) -> None:
        self._display = Display(stream, every_percent(EVERY_PERCENT))

    def show(self, job: Body) -> None:
        is_training = job_texts.phase_of(job) == "Running"
        headline, steps = job_texts.headline(job), job_texts.steps_of(job)
        self._display.show(headline, steps, is_training=is_training)

    def close(self) -> None:
        self._display.close()
