# SPDX-License-Identifier: Apache-2.0
"""The remaining time is computed from the steps of this attempt, not from those before a resume."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from finetune_trainer.exchange.workspace import Workspace

pytestmark = pytest.mark.slow  # importing transformers

STEPS = 100
RESUMED_FROM = 90


@pytest.mark.parametrize(
    ("step", "seconds", "left"),
    [
        pytest.param(90, 30.0, None, id="unknown before the first step"),
        pytest.param(91, 20.0, 180, id="right after the first step"),
        pytest.param(95, 50.0, 50, id="in the middle"),
        pytest.param(100, 99.0, 0, id="at the end"),
    ],
)
def test_a_resumed_run_computes_the_time_left_from_its_own_steps(
    step: int, seconds: float, left: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune_trainer.ranks.callbacks import progress

    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr(progress, "time", clock)
    workspace = Workspace(root=tmp_path)
    callback = progress.ProgressRecorder(workspace, resumed_from_step=RESUMED_FROM)
    args: Any = SimpleNamespace(world_size=1)
    state: Any = SimpleNamespace(
        global_step=RESUMED_FROM,
        max_steps=STEPS,
        epoch=0.9,
        log_history=[],
        is_world_process_zero=True,
    )
    now = 1000.0
    callback.on_train_begin(args, state, None)  # type: ignore[arg-type]

    now, state.global_step = now + seconds, step
    callback.on_step_end(args, state, None)  # type: ignore[arg-type]

    told = json.loads(workspace.progress.read_text())
    assert told["trainerStatus"].get("estimatedRemainingSeconds") == left
