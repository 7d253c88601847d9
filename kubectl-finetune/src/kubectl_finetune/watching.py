# SPDX-License-Identifier: Apache-2.0
"""Shows a job until it is over: a bar on a terminal, a line for each change elsewhere."""

import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from tqdm import tqdm

from kubectl_finetune import job_texts
from kubectl_finetune.job_texts import Body
from kubectl_finetune.kubectl import Kubectl

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
    """What has been shown is not shown again."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._told = ""
        self._percent = 0
        self._bar: Any = None

    def show(self, job: Body) -> None:
        if (line := job_texts.headline(job)) != self._told:
            self._told = line
            self.close()
            print(line, file=self._stream, flush=True)
        progress = job_texts.status_of(job).get("progress", {})
        if job_texts.phase_of(job) == "Running" and progress.get("totalSteps"):
            draw: Callable[[Body], None] = self._draw if self._stream.isatty() else self._print
            draw(job)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def _draw(self, job: Body) -> None:
        progress = job_texts.status_of(job)["progress"]
        self._bar = self._bar or tqdm(
            total=progress["totalSteps"],
            file=self._stream,
            dynamic_ncols=True,
            bar_format="{percentage:3.0f}% |{bar}| step {n_fmt}/{total_fmt}{postfix}",
        )
        self._bar.n = progress.get("step", 0)
        self._bar.set_postfix_str("  ".join(job_texts.figures(job)), refresh=False)
        self._bar.refresh()

    def _print(self, job: Body) -> None:
        progress = job_texts.status_of(job)["progress"]
        percent = progress.get("percent", 0)
        if percent // EVERY_PERCENT > self._percent // EVERY_PERCENT:
            steps = f"step {progress.get('step', 0)}/{progress['totalSteps']}"
            line = "  ".join((f"{percent}%", steps, *job_texts.figures(job)))
            print(f"  {line}", file=self._stream, flush=True)
        self._percent = percent
