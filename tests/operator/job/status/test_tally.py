# SPDX-License-Identifier: Apache-2.0
"""The increments of counters: each hour and each end once, a wasted hour when it is certain."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from finetune_operator.job.status.tally import find_tally, find_tally_of_deletion
from finetune_operator.objects.tally import Tally
from finetune_operator.objects.times import render_time
from support.factories import NOW, a_job_body

HOUR = 3600.0


def a_record(number: int = 1, *, hours: float | None = 1, **more: Any) -> dict[str, Any]:
    """An attempt with one GPU that began this many hours ago; it still runs if None."""
    began = NOW - timedelta(hours=hours or 1)
    ended = {} if hours is None else {"endTime": render_time(NOW)}
    return {
        "number": number,
        "name": f"balloon-{number}",
        "startTime": render_time(began),
        "podsStartTime": render_time(began),
        "gpus": 1,
        "result": "Running" if hours is None else "Interrupted",
        **ended,
        **more,
    }


def a_status(*records: Any, used: float = 0, wasted: float = 0, **more: Any) -> dict[str, Any]:
    hours = {"gpuHours": {"used": used, "wasted": wasted}} if used else {}
    return {"attempts": list(records), **hours, **more}


def ended(kind: str, **more: Any) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": "True"}], **more}


RUNNING = a_status(a_record(hours=None))
OPEN = a_status(a_record(lastStep=40), used=1, wasted=1)
"""It is not known yet which of its 40 steps were saved."""
KNOWN = a_status(a_record(lastStep=40, stepsLost=10), a_record(2, hours=None), used=1, wasted=0.25)
SUCCEEDED = a_status(a_record(lastStep=40, stepsLost=10), used=3, wasted=0.25, **ended("Complete"))
FAILED = a_status(
    a_record(lastStep=40),
    used=1,
    wasted=1,
    **ended("Failed", failure={"reason": "DataNotFound"}),
)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({}, RUNNING, Tally(), id="an attempt begins"),
        pytest.param(RUNNING, OPEN, Tally(used_seconds=HOUR), id="it ends, what it kept is open"),
        pytest.param(
            OPEN, KNOWN, Tally(wasted_seconds=HOUR / 4), id="the next one reports its lost steps"
        ),
        pytest.param(
            RUNNING,
            a_status(a_record(), used=1, wasted=1),
            Tally(used_seconds=HOUR, wasted_seconds=HOUR),
            id="it ends without a step",
        ),
        pytest.param(
            KNOWN, SUCCEEDED, Tally(used_seconds=2 * HOUR, result="Succeeded"), id="it succeeds"
        ),
        pytest.param(
            OPEN,
            FAILED,
            Tally(wasted_seconds=HOUR, result="Failed", reason="DataNotFound"),
            id="it fails: what was open is wasted",
        ),
        pytest.param(FAILED, FAILED, Tally(), id="nothing changes"),
        pytest.param(SUCCEEDED, KNOWN, Tally(), id="another run begins"),
        pytest.param(
            {},
            ended("Failed", failure={"reason": "InvalidSpec"}),
            Tally(result="Failed", reason="InvalidSpec"),
            id="it fails without an attempt",
        ),
    ],
)
def test_each_hour_and_each_end_is_counted_once(
    before: dict[str, Any], after: dict[str, Any], expected: Tally
) -> None:
    assert find_tally(before, after) == expected


def test_the_counters_of_a_complete_life_equal_the_final_status() -> None:
    life = [find_tally(*step) for step in pairwise([{}, RUNNING, OPEN, KNOWN, SUCCEEDED])]

    assert sum(it.used_seconds for it in life) == SUCCEEDED["gpuHours"]["used"] * HOUR
    assert sum(it.wasted_seconds for it in life) == SUCCEEDED["gpuHours"]["wasted"] * HOUR


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param({}, Tally(result="Deleted"), id="before it began"),
        pytest.param(
            RUNNING,
            Tally(used_seconds=HOUR, wasted_seconds=HOUR, result="Deleted"),
            id="while it ran",
        ),
        pytest.param(OPEN, Tally(wasted_seconds=HOUR, result="Deleted"), id="between attempts"),
        pytest.param(SUCCEEDED, Tally(), id="after it succeeded"),
        pytest.param(FAILED, Tally(), id="after it failed"),
    ],
)
def test_a_deleted_job_is_counted_up_to_its_deletion(
    status: dict[str, Any], expected: Tally
) -> None:
    assert find_tally_of_deletion(a_job_body(status=status), NOW) == expected
