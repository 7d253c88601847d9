# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest

from factories import NOW, a_job_body
from finetune_operator.events import TurningPoint, build_event, find_turning_point


def a_status(phase: str, *, attempt: int | None = None, reason: str = "Because") -> dict[str, Any]:
    return {
        "phase": phase,
        "attempt": attempt,
        "attempts": [
            {"name": f"balloon-{number}", "number": number, "result": "Interrupted", "message": "x"}
            for number in range(1, (attempt or 0) + 1)
        ],
        "conditions": [{"type": "Ready", "reason": reason, "message": "so it is"}],
    }


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        pytest.param({}, a_status("Pending"), None, id="accepted"),
        pytest.param({}, a_status("Pending", reason="InvalidSpec"), "InvalidSpec", id="rejected"),
        pytest.param(
            a_status("Pending", reason="InvalidSpec"),
            a_status("Pending", reason="InvalidSpec"),
            None,
            id="rejected for the same reason",
        ),
        pytest.param(
            a_status("Pending"), a_status("Starting", attempt=1), "AttemptStarted", id="started"
        ),
        pytest.param(
            a_status("Starting", attempt=1), a_status("Running", attempt=1), None, id="running"
        ),
        pytest.param(
            a_status("Running", attempt=1), a_status("Retrying", attempt=1), "Retrying", id="retry"
        ),
        pytest.param(
            a_status("Retrying", attempt=1),
            a_status("Starting", attempt=2),
            "AttemptStarted",
            id="started again",
        ),
        pytest.param(
            a_status("Running", attempt=1), a_status("Succeeded", attempt=1), "Because", id="done"
        ),
        pytest.param(
            a_status("Running", attempt=1), a_status("Failed", attempt=1), "Because", id="failed"
        ),
        pytest.param(
            a_status("Failed", attempt=1), a_status("Failed", attempt=1), None, id="told already"
        ),
    ],
)
def test_turning_points(before: dict[str, Any], after: dict[str, Any], reason: str | None) -> None:
    point = find_turning_point(before, after)

    assert (point and point.reason) == reason


def test_the_same_turning_point_has_the_same_name() -> None:
    point = TurningPoint(is_warning=True, reason="Retrying", message="x" * 2000)

    event = build_event(a_job_body(), point, 1, NOW)
    again = build_event(a_job_body(metadata={"resourceVersion": "9"}), point, 1, NOW)
    next_one = build_event(a_job_body(), point, 2, NOW)

    assert event["metadata"]["name"] == again["metadata"]["name"]
    assert event["metadata"]["name"] != next_one["metadata"]["name"]
    assert event["involvedObject"]["uid"] == "uid-of-job"
    assert event["type"] == "Warning"
    assert len(event["message"]) == 1024


def test_start_of_another_attempt_tells_what_became_of_the_last() -> None:
    point = find_turning_point(a_status("Running", attempt=1), a_status("Starting", attempt=2))

    assert point is not None
    assert point.message == "created Job balloon-2 for attempt 2; attempt 1: Interrupted (x)"
