# SPDX-License-Identifier: Apache-2.0
"""Two ranks, stopped during training: both at the same step, and nothing is lost."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetune_contract.progress import Progress
from finetune_contract.run import Run
from finetune_trainer.exchange.workspace import Workspace
from trainer.attempt.test_resume import BUSY, figures, weights
from trainer.in_process import a_run
from trainer.two_ranks import TwoRanks

# `make test` stops two supervisors with their ranks: test_two_supervisors.py.
pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def ranks() -> Iterator[TwoRanks]:
    two = TwoRanks()
    yield two
    two.close()


def stop_after(workspace: Workspace, step: int, is_over: threading.Event) -> None:
    """The supervisor's reaction to a SIGTERM, once this many steps are reported."""
    while not is_over.wait(0.005):
        try:
            told = Progress.from_body(workspace.progress.read_bytes())
        except FileNotFoundError:
            continue
        if (told.step or 0) >= step:
            workspace.stop.touch()
            return


def test_two_ranks_stop_at_the_same_step_and_resume_exactly(
    ranks: TwoRanks, tiny_model: Path, sayings: Path, tmp_path: Path
) -> None:
    config: dict[str, Any] = {**BUSY, "max_steps": 14, "gradient_accumulation_steps": 1}

    def run_at(place: str) -> Run:
        return a_run(tmp_path / place, tiny_model, sayings, **config)

    whole = ranks.train(run_at("a"), tmp_path / "a", processes=2)
    assert whole.outcome.failure is None, whole.words()

    is_over = threading.Event()
    workspace = Workspace(root=tmp_path / "b" / "work")
    asking = threading.Thread(target=stop_after, args=(workspace, 3, is_over))
    asking.start()
    stopped = ranks.train(run_at("b"), tmp_path / "b", processes=2)
    is_over.set()
    asking.join()
    assert stopped.outcome.failure is not None
    assert stopped.outcome.failure.reason == "Interrupted", stopped.words()
    assert 3 <= stopped.outcome.checkpoint_step < 14

    resumed = ranks.train(replace(run_at("b"), attempt=2), tmp_path / "b", processes=2)
    assert resumed.outcome.failure is None, resumed.words()
    assert resumed.outcome.resumed_from_step == stopped.outcome.checkpoint_step
    assert figures(resumed) == figures(whole)
    assert weights(resumed) == weights(whole)
