# SPDX-License-Identifier: Apache-2.0
"""What `finetune run` shows: a progress bar while it runs, a summary when it is done."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from finetune_contract.outcome import Outcome
from finetune_contract.progress import Progress, TrainerPhase

INTERVAL_SECONDS = 0.5


class Display:
    """Shows progress: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._bar: Any = None
        self._phase: TrainerPhase | None = None
        self._line = ""

    def show(self, progress: Progress) -> None:
        if progress.phase is not self._phase:
            self.close()
            self._phase = progress.phase
            print(f"{progress.phase.value} ...", file=self._stream, flush=True)
        if progress.phase is not TrainerPhase.TRAINING or not progress.total_steps:
            return
        if self._stream.isatty():
            self._draw(progress)
        else:
            self._print(progress)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def _draw(self, progress: Progress) -> None:
        bar = self._bar = self._bar or tqdm(
            total=progress.total_steps,
            unit="step",
            file=self._stream,
            dynamic_ncols=True,
            initial=progress.resumed_from_step or 0,
        )
        bar.n = progress.step or 0
        if progress.loss is not None:
            bar.set_postfix_str(f"loss {progress.loss:.4g}", refresh=False)
        bar.refresh()

    def _print(self, progress: Progress) -> None:
        loss = "" if progress.loss is None else f"  loss {progress.loss:.4g}"
        line = f"  step {progress.step or 0}/{progress.total_steps}{loss}"
        if line != self._line and progress.step:
            print(line, file=self._stream, flush=True)
        self._line = line


def summary(outcome: Outcome, samples: Sequence[Mapping[str, str]], report: str) -> str:
    """What a person wants to know at the end of a run that succeeded."""
    lines = [f"Succeeded after {outcome.step} steps."]
    figures = outcome.figures or {}
    if "loss" in figures:
        lines.append(f"  loss      {figures['first_loss']:.4g} -> {figures['loss']:.4g}")
    if "eval_loss" in figures:
        lines.append(f"  eval loss {figures['eval_loss']:.4g}")
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


def _one_line(text: str) -> str:
    return " ".join(text.split()) or "(nothing)"
