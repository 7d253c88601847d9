# SPDX-License-Identifier: Apache-2.0
"""Progress in a terminal: a bar; elsewhere a line at intervals."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO

from finetune_cli.terminal.output import show
from finetune_contract.printable import on_one_line
from finetune_trainer.progress.progress_line import render_steps

BAR = "{percentage:3.0f}% |{bar}| step {n_fmt}/{total_fmt}{postfix}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The progress of a training."""

    step: int
    total: int
    percent: int
    figures: tuple[str, ...] = ()
    """Loss, speed and remaining time, if known."""


IsDue = Callable[[Steps], bool]
"""Whether another line is printed if no bar can be drawn. Remembers its last argument."""


def every_seconds(seconds: float, now: Callable[[], float] = time.monotonic) -> IsDue:
    """A line immediately, and then in these intervals."""
    printed_at = float("-inf")

    def is_due(steps: Steps) -> bool:
        nonlocal printed_at
        del steps
        if now() - printed_at < seconds:
            return False
        printed_at = now()
        return True

    return is_due


def every_percent(percent: int) -> IsDue:
    """A line for each step of this many percent."""
    seen = 0

    def is_due(steps: Steps) -> bool:
        nonlocal seen
        is_further = steps.percent // percent > seen // percent
        seen = steps.percent
        return is_further

    return is_due


class Display:
    """Shows headlines, and the steps of a training below them. Nothing is shown twice."""

    def __init__(self, stream: TextIO, is_due: IsDue) -> None:
        self._stream = stream
        self._is_due = is_due
        self._headline = ""
        self._was_training = False
        self._printed_step = 0
        self._bar: Any = None

    def show(self, headline: str, steps: Steps | None, *, is_training: bool) -> None:
        if headline != self._headline:
            if steps is not None and self._was_training and not is_training:
                self._show_steps(steps, is_last=True)
            self.close()
            show(f"{headline}\n", self._stream)
        if steps is not None and is_training:
            self._show_steps(steps, is_last=False)
        self._headline, self._was_training = headline, is_training

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def _show_steps(self, steps: Steps, *, is_last: bool) -> None:
        if self._stream.isatty():
            self._draw(steps)
        elif steps.step and steps.step != self._printed_step and (is_last or self._is_due(steps)):
            line = "  ".join((render_steps(steps.step, steps.total, steps.percent), *steps.figures))
            show(f"  {line}\n", self._stream)
            self._printed_step = steps.step

    def _draw(self, steps: Steps) -> None:
        # Imported late: most commands draw no bar.
        from tqdm import tqdm

        # Its own estimate of the remaining time would count the steps before a resume.
        bar = self._bar = self._bar or tqdm(
            total=steps.total, file=self._stream, dynamic_ncols=True, bar_format=BAR
        )
        bar.n = steps.step
        bar.set_postfix_str(on_one_line("  ".join(steps.figures)), refresh=False)
        bar.refresh()
