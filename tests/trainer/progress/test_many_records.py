# SPDX-License-Identifier: Apache-2.0
"""Logging every step does not slow small models down, also after many steps."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from finetune_trainer.exchange.history import IN_A_ROW
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.errors import AttemptFailed

pytestmark = pytest.mark.slow  # importing transformers

NAN = float("nan")
ARGS: Any = SimpleNamespace(world_size=1)
CONTROL: Any = None


class OnlyItsEnd(list[Any]):
    """A history of which only the end may be read."""

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("all earlier records were read")


def a_state(history: list[Any]) -> Any:
    return SimpleNamespace(
        log_history=history,
        global_step=len(history),
        max_steps=100_000,
        epoch=0.1,
        is_world_process_zero=True,
    )


def a_record(step: int, norm: float = 0.5, loss: float = 1.0) -> dict[str, float]:
    return {"loss": loss, "grad_norm": norm, "step": step}


def log(callback: Any, state: Any, record: dict[str, float]) -> None:
    """As transformers does."""
    state.log_history.append(record)
    state.global_step = record["step"]
    callback.on_log(ARGS, state, CONTROL, logs={k: v for k, v in record.items() if k != "step"})


def test_a_record_is_judged_without_a_look_at_all_before_it(tmp_path: Path) -> None:
    from finetune_trainer.ranks.callbacks.learning import LearningGuard
    from finetune_trainer.ranks.callbacks.progress import ProgressRecorder

    recorder = ProgressRecorder(Workspace(root=tmp_path), resumed_from_step=0)
    past = [a_record(step) for step in range(1, 1000)]
    for callback in (LearningGuard(), recorder):
        callback.on_train_begin(ARGS, a_state(past), CONTROL)
        state = a_state(OnlyItsEnd(past))
        for step in range(1000, 1020):
            log(callback, state, a_record(step))


def steps_until_failure(past: list[dict[str, float]], **record: float) -> int:
    """How many such records come before the run is ended."""
    from finetune_trainer.ranks.callbacks.learning import LearningGuard

    guard, state = LearningGuard(), a_state(past)
    guard.on_train_begin(ARGS, state, CONTROL)
    for number in range(1, 100):
        try:
            log(guard, state, a_record(len(past) + 1, **record))
        except AttemptFailed:
            return number
    return 0


@pytest.mark.parametrize(
    ("past", "record", "expected"),
    [
        pytest.param([], {"norm": 0.0, "loss": 0.0}, 5, id="nothing is learned from the start"),
        pytest.param([], {}, 0, id="it learns"),
        pytest.param(
            [a_record(step) for step in range(1, 200)], {"norm": NAN}, IN_A_ROW, id="it diverges"
        ),
        pytest.param(
            [a_record(1), *(a_record(step, NAN) for step in range(2, 9))],
            {"norm": NAN},
            IN_A_ROW - 7,
            id="it was diverging when it was interrupted",
        ),
        pytest.param(
            [a_record(step, 0.0, 0.0) for step in (1, 2, 3)],
            {"norm": 0.0, "loss": 0.0},
            2,
            id="an interruption is no new start",
        ),
    ],
)
def test_a_run_without_hope_is_ended_as_soon_as_ever(
    past: list[dict[str, float]], record: dict[str, float], expected: int
) -> None:
    assert steps_until_failure(past, **record) == expected
