# SPDX-License-Identifier: Apache-2.0
"""Shows a job until it is over: a bar on a terminal, a line for each change elsewhere."""

import sys
from collections.abc import Iterator
from typing import TextIO

from finetune_cli.cluster import job_texts
from finetune_cli.cluster.job_texts import Body
from finetune_cli.cluster.kubectl import Kubectl
from finetune_cli.terminal.display import Display, every_percent

EVERY_PERCENT = 10
"""How far it must have got for another line, where no bar can be drawn."""


def watch(kubectl: Kubectl, name: str, stream: TextIO | None = None) -> Body:
    """The job as it was when it was over.

    Raises:
        Refused: it is not there, or not any more.
    """
    # By this its absence is told, of which a watch says nothing.
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
    """All versions from this one on: a watch that was ended is begun anew."""
    while not job_texts.is_over(job):
        yield from kubectl.follow(name)
        job = kubectl.job(name)
    yield job


class WatchDisplay:
    """Shows what changes in a job's status."""

    def __init__(self, stream: TextIO) -> None:
        self._display = Display(stream, every_percent(EVERY_PERCENT))

    def show(self, job: Body) -> None:
        is_training = job_texts.phase_of(job) == "Running"
        headline, steps = job_texts.headline(job), job_texts.steps_of(job)
        self._display.show(headline, steps, is_training=is_training)

    def close(self) -> None:
        self._display.close()
