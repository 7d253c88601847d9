# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest

from finetune_operator.job.status.events import build_job_event, find_turning_points
from finetune_operator.objects.events import TurningPoint
from support.factories import NOW, a_job_body


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


def stopping() -> dict[str, Any]:
    status = a_status("Running", attempt=1)
    status["attempts"][-1]["stopping"] = True
    return status


def warned() -> dict[str, Any]:
    status = a_status("Pending")
    accepted = {"type": "Accepted", "status": "True", "message": "valid; warning: an old name"}
    return {**status, "conditions": [accepted, *status["conditions"]]}


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
            a_status("Failed", attempt=1),
            a_status("Failed", attempt=1),
            None,
            id="reported already",
        ),
        pytest.param(
            a_status("Starting", attempt=1), a_status("Queued", attempt=1), "Because", id="queued"
        ),
        pytest.param(
            a_status("Queued", attempt=1),
            a_status("Starting", attempt=1),
            "Admitted",
            id="admitted",
        ),
        pytest.param(
            a_status("Running", attempt=1),
            stopping(),
            "Stopping",
            id="told to stop after a checkpoint",
        ),
        pytest.param(stopping(), stopping(), None, id="stopping already"),
        pytest.param(
            stopping(), a_status("Suspended", attempt=1), "Because", id="ended and suspended"
        ),
        pytest.param(
            a_status("Suspended", attempt=1),
            a_status("Starting", attempt=2),
            "Resumed, AttemptStarted",
            id="resumed",
        ),
        pytest.param({}, warned(), "SpecAccepted", id="accepted with a warning"),
        pytest.param(warned(), warned(), None, id="warned already"),
        pytest.param(
            a_status("Pending"),
            a_status("Pending", reason="CreateRefused"),
            None,
            id="refused in the same words",
        ),
        pytest.param(
            {}, a_status("Pending", reason="CreateRefused"), "CreateRefused", id="quota exceeded"
        ),
    ],
)
def test_each_turning_point_has_an_event(
    before: dict[str, Any], after: dict[str, Any], reason: str | None
) -> None:
    reasons = [point.reason for point in find_turning_points(before, after)]

    assert reasons == ([] if reason is None else reason.split(", "))


def test_the_same_turning_point_has_the_same_event_name() -> None:
    point = TurningPoint(is_warning=True, reason="Retrying", message="x" * 2000)

    def told_of(attempt: int, admitted: str = "", **metadata: str) -> dict[str, Any]:
        status = {"attempt": attempt, "attempts": [{"admittedTime": admitted}]}
        return build_job_event(a_job_body(metadata=metadata), point, status, NOW)

    event, again = told_of(1), told_of(1, resourceVersion="9")
    next_one, let_go_on = told_of(2), told_of(1, admitted="2026-05-04T12:00:00Z")

    assert event["metadata"]["name"] == again["metadata"]["name"]
    names = {each["metadata"]["name"] for each in (event, next_one, let_go_on)}
    assert len(names) == 3
    assert event["involvedObject"]["uid"] == "uid-of-job"
    assert event["type"] == "Warning"
    assert len(event["message"]) == 1024


def test_each_reason_for_refusing_a_job_is_reported() -> None:
    def name_of(message: str, reason: str) -> str:
        point = TurningPoint(is_warning=True, reason=reason, message=message)
        return str(build_job_event(a_job_body(), point, {}, NOW)["metadata"]["name"])

    assert name_of("quota", "CreateRefused") != name_of("policy", "CreateRefused")
    assert name_of("used: 3", "CreateRefused") == name_of("used: 4", "CreateRefused")
    assert name_of("at 12:00:00", "Retrying") == name_of("at 12:00:01", "Retrying")


def test_the_start_of_an_attempt_reports_how_the_last_one_ended() -> None:
    (point,) = find_turning_points(a_status("Running", attempt=1), a_status("Starting", attempt=2))

    assert point.message == "created Job balloon-2 for attempt 2; attempt 1: Interrupted (x)"
