# SPDX-License-Identifier: Apache-2.0
"""The output of `finetune run`: progress during the run, a summary at its end."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from finetune_cli.terminal import texts
from finetune_cli.terminal.display import Display, Steps, every_seconds
from finetune_contract.outcome import Outcome
from finetune_contract.progress import Progress, TrainerPhase
from finetune_trainer.progress.progress_line import render_figures

INTERVAL_SECONDS = 0.5
LINE_SECONDS = 10.0
"""Between two lines if no bar can be drawn."""


class RunDisplay:
    """Shows the progress of a run on this machine."""

    def __init__(self, stream: TextIO, now: Callable[[], float] = time.monotonic) -> None:
        self._display = Display(stream, every_seconds(LINE_SECONDS, now))
        self._now = now
        self._told: tuple[TrainerPhase, str, float] | None = None

    def show(self, progress: Progress) -> None:
        is_training = progress.phase is TrainerPhase.TRAINING
        headline = f"{progress.phase.value} ... {self._doing_in(progress)}".rstrip()
        self._display.show(headline, _steps(progress), is_training=is_training)

    def _doing_in(self, progress: Progress) -> str:
        """The current activity, unchanged for some seconds: each new text is a line."""
        if not progress.doing or progress.step:
            return ""
        told = self._told
        if told is None or told[0] is not progress.phase or self._now() - told[2] >= LINE_SECONDS:
            self._told = told = (progress.phase, progress.doing, self._now())
        return told[1]

    def close(self) -> None:
        self._display.close()


def _steps(progress: Progress) -> Steps | None:
    if not progress.total_steps:
        return None
    return Steps(
        step=progress.step or 0,
        total=progress.total_steps,
        percent=progress.percent or 0,
        figures=tuple(render_figures(progress)),
    )


def summary(outcome: Outcome, samples: Sequence[Mapping[str, Any]], report: str) -> str:
    """The summary of a successful run."""
    figures = outcome.figures or {}
    artifact = outcome.artifact
    success = texts.Success(
        step=outcome.step,
        note=outcome.note,
        first_loss=figures.get("first_loss"),
        loss=figures.get("loss"),
        base_eval_loss=figures.get("base_eval_loss"),
        eval_loss=figures.get("eval_loss"),
        artifact=None if artifact is None else artifact.uri,
        digest=None if artifact is None else artifact.digest,
        notes=[(note.severity.value, note.message) for note in outcome.notes],
    )
    return "\n".join(
        [
            *texts.render_success(success),
            texts.row("report", f"{report}/report.html"),
            texts.row("curve", f"{report}/loss.svg"),
            *texts.render_answers(samples),
        ]
    )


def failure_text(outcome: Outcome, log: Path | None) -> str:
    """Why a run did not succeed, and the remedy."""
    failure = outcome.failure
    if failure is None:
        return ""
    lines = [*texts.render_failure(failure.reason, failure.message, failure.remedy)]
    if outcome.checkpoint_step:
        lines.append(f"  run the same command again to resume from step {outcome.checkpoint_step}")
    if log is not None:
        lines.append(f"  log: {log}")
    return "\n".join(lines)
