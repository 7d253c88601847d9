# SPDX-License-Identifier: Apache-2.0
"""The output during a run: a bar in a terminal, a line at intervals elsewhere."""

import io
import logging

import pytest

from finetune_cli.local.run_texts import LINE_SECONDS, RunDisplay
from finetune_contract.progress import Progress, TrainerPhase
from finetune_spec.quantities import render_duration
from finetune_trainer.progress.progress_line import render_progress
from finetune_trainer.progress.reporting import LOG_INTERVAL_SECONDS, ProgressLog


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def at(step: int, phase: TrainerPhase = TrainerPhase.TRAINING, **known: float) -> Progress:
    return Progress(
        phase=phase,
        step=step,
        total_steps=100,
        loss=known.get("loss"),
        tokens_per_second=known.get("tokens"),
        eta_seconds=int(known["eta"]) if "eta" in known else None,
    )


def test_a_progress_line_shows_step_loss_speed_and_time_left() -> None:
    line = render_progress(at(12, loss=1.23456, tokens=1234.5, eta=200))

    assert line == "step 12/100 (12 %)  loss 1.235  1,234 tokens/s  ETA 3m20s"


def test_unknown_figures_are_omitted() -> None:
    assert render_progress(at(1)) == "step 1/100 (1 %)"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(45, "45s"), (200, "3m20s"), (7500, "2h5m"), (100_000, "1d3h")],
)
def test_a_duration_is_shown_in_its_largest_units(seconds: int, words: str) -> None:
    assert render_duration(seconds) == words


def test_a_terminal_shows_a_bar_with_loss_speed_and_time_left() -> None:
    terminal = Terminal()
    display = RunDisplay(terminal)

    display.show(Progress(phase=TrainerPhase.FETCHING))
    display.show(at(50, loss=0.5, tokens=900, eta=45))
    display.show(at(100, TrainerPhase.VERIFYING, loss=0.25))
    display.close()

    shown = terminal.getvalue()
    assert "Fetching ..." in shown
    assert "50%" in shown
    assert "step 50/100, loss 0.5  900 tokens/s  ETA 45s" in shown
    assert "step 100/100, loss 0.25" in shown
    assert shown.rstrip().endswith("Verifying ...")


def test_without_a_terminal_progress_lines_are_sparse_and_include_the_end() -> None:
    stream, clock = io.StringIO(), Clock()
    display = RunDisplay(stream, clock)

    for step in range(1, 91):
        clock.seconds = step
        display.show(at(step))
    display.show(at(100, TrainerPhase.VERIFYING))

    lines = stream.getvalue().splitlines()
    assert lines[:2] == ["Training ...", "  step 1/100 (1 %)"]
    assert lines[-2:] == ["  step 100/100 (100 %)", "Verifying ..."]
    assert len(lines) == 2 + 80 // LINE_SECONDS + 2


def test_a_pods_log_gets_occasional_progress_lines(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    lines = ProgressLog(clock)
    caplog.set_level(logging.INFO)

    for step in range(1, 101):
        clock.seconds += 5
        lines.send(at(step))
        lines.send(at(step))

    told = [record.getMessage() for record in caplog.records]
    assert told[0] == "progress step 1/100 (1 %)"
    assert told[-1] == "progress step 100/100 (100 %)"
    assert len(told) == 2 + (99 * 5 - 1) // LOG_INTERVAL_SECONDS
