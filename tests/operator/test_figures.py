# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest

from factories import NOW, a_bad_outcome
from finetune_contract.progress import Progress, TrainerPhase
from finetune_operator.figures import is_news, render_progress, with_outcome


def test_report_as_users_read_it() -> None:
    progress = Progress(
        phase=TrainerPhase.TRAINING,
        step=42,
        total_steps=100,
        epoch=0.4200001,
        loss=1.23456789,
        learning_rate=2e-4,
        tokens_per_second=1234.5678,
        eta_seconds=150,
        world_size=2,
    )

    assert render_progress(progress, 1, NOW) == {
        "attempt": 1,
        "phase": "Training",
        "percent": 42,
        "step": 42,
        "totalSteps": 100,
        "epoch": 0.42,
        "loss": 1.2346,
        "evalLoss": None,
        "learningRate": 0.0002,
        "tokensPerSecond": 1234.6,
        "eta": "2m30s",
        "worldSize": 2,
        "checkpointStep": None,
        "resumedFromStep": None,
        "updated": "2026-05-04T12:00:00Z",
    }


@pytest.mark.parametrize(
    ("status", "step", "expected"),
    [
        pytest.param({}, 1, True, id="before the attempt is recorded"),
        pytest.param({"attempts": [{"number": 1}]}, 1, True, id="attempt 0 was recorded only"),
        pytest.param({"attempts": [{"number": 2}]}, 1, True, id="while it runs"),
        pytest.param({"attempts": [{"number": 3}]}, 9, False, id="of an earlier attempt"),
        pytest.param(
            {"attempts": [{"number": 2, "endTime": "x", "lastStep": 8}]},
            9,
            True,
            id="of one that was killed, with a later step",
        ),
        pytest.param(
            {"attempts": [{"number": 2, "endTime": "x", "lastStep": 9}]},
            9,
            False,
            id="of one that has ended, with nothing new",
        ),
        pytest.param(
            {"attempts": [{"number": 2, "endTime": "x"}]}, None, False, id="ended, without a step"
        ),
    ],
)
def test_whether_a_report_is_news(status: dict[str, Any], step: int | None, expected: bool) -> None:
    assert is_news(status, 2, step) is expected


def test_figures_of_an_earlier_attempt_do_not_stay_beside_those_of_the_last() -> None:
    earlier = {"attempt": 1, "loss": 0.5, "step": 9}

    final = with_outcome(earlier, a_bad_outcome(), 2)

    assert (final["attempt"], final["step"]) == (2, 7)
    assert "loss" not in final
