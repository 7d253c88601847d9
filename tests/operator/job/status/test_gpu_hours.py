# SPDX-License-Identifier: Apache-2.0
from datetime import timedelta
from typing import Any

import pytest

from finetune_operator.job.attempts import Attempt, Result, render_attempts
from finetune_operator.job.status.gpu_hours import hours_of, next_gpu_hours
from support.factories import NOW, an_attempt


def an_hour_on_8_gpus(number: int = 1, result: Result = Result.FAILED, **given: Any) -> Attempt:
    """It waited for half an hour before that, which costs nothing."""
    fields: dict[str, Any] = {
        "pods_started": NOW + timedelta(minutes=30),
        "gpus": 8,
        "lasted": timedelta(minutes=90),
    }
    return an_attempt(number, result, **fields | given)


@pytest.mark.parametrize(
    ("attempt", "used", "wasted"),
    [
        pytest.param(an_hour_on_8_gpus(result=Result.SUCCEEDED), 8, 0, id="succeeded"),
        pytest.param(an_hour_on_8_gpus(), 8, 8, id="failed before its first step"),
        pytest.param(an_hour_on_8_gpus(last_step=100), 8, 8, id="nothing known to be kept"),
        pytest.param(an_hour_on_8_gpus(last_step=100, steps_lost=25), 8, 2, id="a quarter lost"),
        pytest.param(
            an_hour_on_8_gpus(last_step=100, resumed_from_step=50, steps_lost=25),
            8,
            4,
            id="half of what it took itself lost",
        ),
        pytest.param(an_hour_on_8_gpus(last_step=10, steps_lost=0), 8, 0, id="all is saved"),
        pytest.param(an_hour_on_8_gpus(last_step=10, steps_lost=20), 8, 8, id="lost earlier ones"),
        pytest.param(an_hour_on_8_gpus(pods_started=None), 0, 0, id="no pod ever started"),
        pytest.param(an_hour_on_8_gpus(gpus=0), 0, 0, id="on CPUs"),
        pytest.param(an_hour_on_8_gpus(result=Result.RUNNING), 0, 0, id="not over yet"),
    ],
)
def test_gpu_hours_are_computed_for_each_attempt(
    attempt: Attempt, used: float, wasted: float
) -> None:
    hours = hours_of(attempt)

    assert (hours.used, hours.wasted) == (used, wasted)


def test_pruned_attempts_stay_in_the_sums() -> None:
    attempts = [
        an_hour_on_8_gpus(1, last_step=100, steps_lost=25),
        an_hour_on_8_gpus(2, Result.SUCCEEDED),
    ]
    records = render_attempts(attempts)
    sums = {"used": 16.0, "wasted": 2.0}

    listed = next_gpu_hours({}, attempts, records)
    dropped = next_gpu_hours({}, attempts, records[1:])
    later = next_gpu_hours(dropped or {}, attempts[1:], records[1:])

    assert listed == sums
    assert dropped == later == {**sums, "pruned": {"used": 8.0, "wasted": 2.0}}
