# SPDX-License-Identifier: Apache-2.0
"""A job whose checkpoints cannot be uploaded reports it, with the last saved step."""

from dataclasses import replace
from typing import Any

import pytest

from finetune_contract.progress import Progress, Unsaved
from finetune_operator.job.attempts import Result
from finetune_operator.job.decide.decision import Decision
from finetune_operator.job.observe.observation import Observed
from finetune_operator.job.status.events import build_job_event, find_turning_points
from finetune_operator.job.status.progress import report_patch, with_outcome
from finetune_operator.job.status.status import next_status
from finetune_operator.objects import conditions
from finetune_operator.objects.names import Phase
from support.factories import NOW, a_bad_outcome, a_good_outcome, a_job, a_job_body, an_attempt
from support.resource_schema import SCHEMA, assert_fits

BUSY = "s3://models/x: the store is busy or failing: SlowDown"


def reported(seconds: int, *, attempt: int = 1, checkpoint_step: int | None = 4) -> Any:
    progress = Progress(
        step=9,
        total_steps=10,
        checkpoint_step=checkpoint_step,
        unsaved=Unsaved(step=8, seconds=seconds, message=BUSY),
    )
    return report_patch({}, attempt, progress, NOW)


def tell(previous: Any, phase: Phase = Phase.RUNNING, **attempt: Any) -> Any:
    decision = Decision(phase=phase, reason="Training", message="step 9 of 10")
    observed = Observed(attempts=(an_attempt(**attempt),))
    return next_status(previous, a_job(), observed, decision, NOW)


def test_the_status_warns_from_the_first_failure_with_the_last_saved_step() -> None:
    patch = reported(30)

    assert patch["progress"]["checkpointStep"] == 4
    assert patch["progress"]["unsaved"] == {
        "step": 8,
        "since": "2026-05-04T11:59:30Z",
        "message": BUSY,
    }
    assert_fits(patch, SCHEMA["status"])


def test_a_job_that_could_not_save_for_the_declared_time_gets_a_condition_and_event() -> None:
    before, after = tell(reported(14 * 60)), tell(reported(15 * 60))

    assert conditions.find(before["conditions"], "CheckpointsSaved") is None
    condition = conditions.require(after["conditions"], "CheckpointsSaved")
    assert (condition["status"], condition["reason"]) == ("False", "CheckpointsNotSaved")
    assert condition["message"] == (
        "no checkpoint could be uploaded for more than 15m: the last saved step is 4, and later "
        f"steps are lost if the pod ends: {BUSY}"
    )
    (point,) = find_turning_points(before, after)
    assert point.is_warning
    event = build_job_event(a_job_body(), point, after, NOW)
    assert (event["reason"], event["type"]) == ("CheckpointsNotSaved", "Warning")
    assert find_turning_points(after, after) == ()
    assert_fits(after, SCHEMA["status"])


def test_a_job_that_has_saved_nothing_yet_is_reported_as_such() -> None:
    status = tell(reported(3600, checkpoint_step=None))

    message = conditions.require(status["conditions"], "CheckpointsSaved")["message"]
    assert "no checkpoint has been saved yet" in message


@pytest.mark.parametrize(
    ("previous", "attempt"),
    [
        pytest.param(reported(3600), {"number": 2}, id="an earlier attempt's"),
        pytest.param(reported(3600), {"result": Result.FAILED}, id="of an attempt that has ended"),
        pytest.param({"progress": {"attempt": 1, "step": 9}}, {}, id="saved again"),
    ],
)
def test_the_condition_is_removed_once_it_no_longer_applies(previous: Any, attempt: Any) -> None:
    status = tell(previous, **attempt)

    assert conditions.find(status["conditions"], "CheckpointsSaved") is None


def test_an_outcome_reports_the_last_saved_step() -> None:
    previous = reported(3600)["progress"]

    assert "unsaved" not in with_outcome(previous, a_good_outcome(), 1)
    lost = with_outcome(previous, replace(a_bad_outcome(), checkpoint_step=4), 1)
    saved = with_outcome(previous, replace(a_bad_outcome(), checkpoint_step=8), 1)
    assert lost["unsaved"]["step"] == 8
    assert "unsaved" not in saved


def test_an_overlong_duration_in_a_report_is_not_an_error() -> None:
    told = Unsaved(step=8, seconds=2**61, message="")
    patch = report_patch({}, 1, Progress(step=9, total_steps=10, unsaved=told), NOW)

    assert patch["progress"]["unsaved"]["since"].startswith("2016-")
