# SPDX-License-Identifier: Apache-2.0
"""What `finetune run` shows: a progress bar while it runs, a summary when it is done."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from finetune_contract.outcome import Outcome
from finetune_contract.progress import Progress, TrainerPhase
from finetune_trainer.progress.progress_line import render_figures, render_progress

INTERVAL_SECONDS = 0.5
LINE_SECONDS = 10.0
"""Between two lines where no bar can be drawn."""


class Display:
    """Shows progress: a bar on a terminal, a line now and then elsewhere."""

    def __init__(
        self, stream: TextIO | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream or sys.stderr
        self._now = now
        self._bar: Any = None
        self._shown = Progress(phase=TrainerPhase.FETCHING)
        self._is_begun = False
        self._printed_at = float("-inf")
        self._printed_step = 0

    def show(self, progress: Progress) -> None:
        is_new = not self._is_begun or progress.phase is not self._shown.phase
        if is_new:
            if self._is_begun and self._shown.phase is TrainerPhase.TRAINING:
                self._show_steps(progress, is_last=True)
            self.close()
            print(f"{progress.phase.value} ...", file=self._stream, flush=True)
        if progress.phase is TrainerPhase.TRAINING:
            self._show_steps(progress, is_last=False)
        self._is_begun, self._shown = True, progress

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def _show_steps(self, progress: Progress, *, is_last: bool) -> None:
        if not progress.total_steps:
            return
        if self._stream.isatty():
            self._draw(progress)
            return
        is_due = is_last or self._now() - self._printed_at >= LINE_SECONDS
        if is_due and progress.step and progress.step != self._printed_step:
            print(f"  {render_progress(progress)}", file=self._stream, flush=True)
            self._printed_at, self._printed_step = self._now(), progress.step

    def _draw(self, progress: Progress) -> None:
        # Its own guess at the time left would count the steps before a resume.
        bar = self._bar = self._bar or tqdm(
            total=progress.total_steps,
            file=self._stream,
            dynamic_ncols=True,
            bar_format="{percentage:3.0f}% |{bar}| step {n_fmt}/{total_fmt}{postfix}",
        )
        bar.n = progress.step or 0
        bar.set_postfix_str("  ".join(render_figures(progress)), refresh=False)
        bar.refresh()


def summary(outcome: Outcome, samples: Sequence[Mapping[str, Any]], report: str) -> str:
    """What a person wants to know at the end of a run that succeeded."""
    lines = [f"Succeeded after {outcome.step} steps{outcome.note and f': {outcome.note}'}."]
    figures = outcome.figures or {}
    if "loss" in figures:
        lines.append(f"  loss      {figures['first_loss']:.4g} -> {figures['loss']:.4g}")
    if "eval_loss" in figures:
        base = f"{figures['base_eval_loss']:.4g} -> " if "base_eval_loss" in figures else ""
        lines.append(f"  eval loss {base}{figures['eval_loss']:.4g}")
    if outcome.artifact is not None:
        lines.append(f"  artifact  {outcome.artifact.uri}")
        lines.append(f"  digest    {outcome.artifact.digest}")
    lines.append(f"  report    {report}/report.html")
    lines.append(f"  curve     {report}/loss.svg")
    for sample in samples:
        lines += [
            "",
            f"  > {sample['prompt']}",
            f"    before: {_one_line(sample['before'])}",
            f"    after:  {_one_line(sample['after'])}",
        ]
    return "\n".join(lines)


def failure_text(outcome: Outcome, log: Path | None) -> str:
    """Why a run did not succeed, and what to do about it."""
    failure = outcome.failure
    if failure is None:
        return ""
    lines = [f"{failure.reason}: {failure.message}"]
    if failure.remedy:
        lines.append(f"  remedy: {failure.remedy}")
    if outcome.checkpoint_step:
        lines.append(f"  run the same command again to go on from step {outcome.checkpoint_step}")
    if log is not None:
        lines.append(f"  log: {log}")
    return "\n".join(lines)


def _one_line(text: str | None) -> str:
    if text is None:
        return "(not asked for, or not in time)"
    return " ".join(text.split()) or "(nothing)"
