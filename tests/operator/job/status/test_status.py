# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from finetune_contract.outcome import Category
from finetune_operator.job.attempts import Result
from finetune_operator.job.decide.decision import decide
from finetune_operator.job.decide.next_step import Decision
from finetune_operator.job.observe.observation import Observed
from finetune_operator.job.status.finished import (
    acknowledged_status,
    find_cleanup,
    is_finished,
)
from finetune_operator.job.status.status import next_status
from finetune_operator.objects import conditions
from finetune_operator.objects.names import Phase
from finetune_operator.objects.reconciled import status_patch
from finetune_operator.objects.times import render_time
from support.factories import (
    CONFIG,
    NOW,
    a_failure,
    a_good_outcome,
    a_job,
    a_job_body,
    an_attempt,
    seconds,
)

LATER = NOW + seconds(60)
GIB = 1024**3


def tell(
    phase: Phase,
    *,
    previous: dict[str, Any] | None = None,
    attempt_to_start: int | None = None,
    **seen: Any,
) -> dict[str, Any]:
    observed = Observed(**seen)
    decision = Decision(
        phase=phase, reason="Because", message="so it is", attempt_to_start=attempt_to_start
    )
    return next_status(previous or {}, a_job(), observed, decision, NOW)


def tell_wrong(previous: dict[str, Any], **seen: Any) -> dict[str, Any]:
    """After an invalid edit that defines another run."""
    job = a_job(config={**CONFIG, "learning_rte": 1}, status=previous)
    observed = Observed(**seen)
    return next_status(previous, job, observed, decide(job, observed, NOW), NOW)


def truths(status: dict[str, Any]) -> dict[str, str]:
    return {found["type"]: found["status"] for found in status["conditions"]}


def test_an_accepted_job_gets_a_pending_status_with_its_run_id() -> None:
    assert tell(Phase.PENDING) == {
        "phase": "Pending",
        "observedGeneration": 1,
        "runId": a_job().run_id,
        "definition": a_job().definition[:10],
        "definitionDigest": a_job().definition,
        "gpus": 1,
        "worldSize": {"wanted": 1},
        "conditions": conditions.merge(
            [],
            [
                conditions.Claim(
                    type="Accepted",
                    is_true=True,
                    reason="SpecAccepted",
                    message="the spec is valid",
                ),
                conditions.Claim(
                    type="Reconciling", is_true=True, reason="Because", message="so it is"
                ),
                conditions.Claim(type="Ready", is_true=False, reason="Because", message="so it is"),
            ],
            1,
            NOW,
        ),
    }


def test_an_accepted_job_keeps_the_warnings_that_kubectl_showed() -> None:
    job = a_job(config={**CONFIG, "torch_dtype": "bfloat16"})
    decision = Decision(phase=Phase.PENDING, reason="Because", message="so it is")

    status = next_status({}, job, Observed(), decision, NOW)

    accepted = conditions.require(status["conditions"], "Accepted")
    assert accepted["status"] == "True"
    assert accepted["message"].startswith("the spec is valid; warning: spec.config.torch_dtype: ")


def test_a_started_attempt_is_recorded_at_once() -> None:
    status = tell(Phase.STARTING, attempt_to_start=1)

    assert status["attempt"] == 1
    assert status["attempts"][0]["name"] == "balloon-1"
    assert status["attempts"][0]["startTime"] == "2026-05-04T12:00:00Z"
    assert "startTime" not in status


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        pytest.param(
            Phase.RUNNING,
            {"Accepted": "True", "Reconciling": "True", "Ready": "False"},
            id="under way: Failed and Complete are absent, not False",
        ),
        pytest.param(
            Phase.SUCCEEDED,
            {"Accepted": "True", "Complete": "True", "AdapterVerified": "True", "Ready": "True"},
            id="succeeded",
        ),
        pytest.param(
            Phase.FAILED,
            {"Accepted": "True", "Failed": "True", "Stalled": "True", "Ready": "False"},
            id="failed",
        ),
    ],
)
def test_each_phase_has_its_conditions(phase: Phase, expected: dict[str, str]) -> None:
    assert truths(tell(phase, outcome=a_good_outcome())) == expected


def test_a_succeeded_job_reports_artifact_and_final_figures() -> None:
    reported = {"attempt": 1, "step": 8, "epoch": 0.9, "loss": 0.6, "eta": "5s", "worldSize": 1}
    status = tell(
        Phase.SUCCEEDED,
        previous={"progress": reported},
        attempts=(an_attempt(result=Result.SUCCEEDED),),
        outcome=a_good_outcome(),
    )

    assert status["artifact"] == {
        "uri": "s3://models/balloon/x/adapter",
        "digest": "sha256:1",
        "sizeBytes": 9,
    }
    assert status["completionTime"] == "2026-05-04T12:01:00Z"
    assert status["progress"] == {
        "attempt": 1,
        "phase": "Publishing",
        "percent": 100,
        "step": 10,
        "totalSteps": 10,
        "epoch": 0.9,
        "loss": 0.5,
        "worldSize": 1,
        "checkpointStep": 10,
        "resumedFromStep": 0,
    }
    assert status["worldSize"] == {"wanted": 1, "seen": 1}


def test_an_unchecked_artifact_is_not_reported_as_verified() -> None:
    unverified = tell(Phase.SUCCEEDED, outcome=a_good_outcome(adapter_verified=False))
    unheard = tell(Phase.SUCCEEDED)

    assert truths(unverified)["AdapterVerified"] == truths(unheard)["AdapterVerified"] == "False"


def test_an_artifact_that_failed_verification_is_reported_as_unverified() -> None:
    failure = a_failure(Category.USER, reason="WorseThanBase", phase="Verifying")
    status = tell(Phase.FAILED, attempts=(an_attempt(result=Result.FAILED, failure=failure),))

    found = conditions.require(status["conditions"], "AdapterVerified")
    assert (found["status"], found["reason"]) == ("False", "WorseThanBase")


def test_the_status_compares_the_base_models_loss_with_the_tuned_models() -> None:
    figures = {"base_eval_loss": 4.0, "eval_loss": 1.25, "eval_bleu": 0.123456789}
    status = tell(
        Phase.SUCCEEDED,
        attempts=(an_attempt(result=Result.SUCCEEDED),),
        outcome=a_good_outcome(figures=figures),
    )

    assert status["progress"]["baseEvalLoss"] == 4.0
    assert status["progress"]["evalLoss"] == 1.25
    assert status["progress"]["metrics"] == {"eval_bleu": 0.12346}


def test_a_failure_is_reported_completely() -> None:
    failure = a_failure(Category.USER, phase="Fetching", rank=0)
    attempt = an_attempt(result=Result.FAILED, failure=failure, exit_code=64)

    status = tell(Phase.FAILED, attempts=(attempt,))

    assert status["failure"] == {
        "reason": "StoreUnreachable",
        "message": "no answer",
        "remedy": "wait",
        "category": "User",
        "retryable": False,
        "phase": "Fetching",
        "rank": 0,
        "exitCode": 64,
    }


def test_a_failure_is_shown_until_the_next_attempt() -> None:
    attempt = an_attempt(result=Result.FAILED)

    assert "failure" in tell(Phase.RETRYING, attempts=(attempt,))
    assert "failure" not in tell(Phase.STARTING, attempts=(attempt,), attempt_to_start=2)


def test_progress_is_unchanged_while_an_attempt_runs() -> None:
    reported = {"attempt": 1, "step": 8, "eta": "5s"}

    status = tell(Phase.RUNNING, previous={"progress": reported}, attempts=(an_attempt(),))

    assert status["progress"] == reported


def test_a_killed_attempt_has_no_time_remaining() -> None:
    reported = {"attempt": 1, "step": 8, "eta": "5s"}
    attempt = an_attempt(result=Result.FAILED)

    status = tell(Phase.RETRYING, previous={"progress": reported}, attempts=(attempt,))

    assert status["progress"] == {"attempt": 1, "step": 8}


def test_the_start_time_is_when_the_pods_were_admitted() -> None:
    started = NOW - timedelta(hours=1)

    assert tell(Phase.RUNNING, started=started)["startTime"] == render_time(started)
    assert "startTime" not in tell(Phase.QUEUED)
    assert "startTime" not in tell(Phase.SUSPENDED, started=started)


def test_a_job_that_became_another_run_keeps_only_its_attempts() -> None:
    previous = {
        "definition": "0123456789",
        "artifact": {"uri": "s3://models/old"},
        "progress": {"attempt": 1, "loss": 0.1},
        "completionTime": "2026-01-01T00:00:00Z",
    }

    status = tell(Phase.PENDING, previous=previous, earlier=(an_attempt(1, Result.SUCCEEDED),))

    assert status["definitionDigest"] == a_job().definition
    assert [attempt["number"] for attempt in status["attempts"]] == [1]
    assert not {"artifact", "progress", "completionTime"} & status.keys()


def test_a_rejected_edit_keeps_the_status() -> None:
    accepted = tell(Phase.STARTING, attempts=(an_attempt(1),))

    status = tell_wrong(accepted, attempts=(an_attempt(1),))

    assert status == {**accepted, "conditions": status["conditions"]}
    assert truths(status) == {"Accepted": "False", "Stalled": "True", "Ready": "False"}


def test_a_verified_artifact_stays_verified_after_an_invalid_edit_is_reverted() -> None:
    done = (an_attempt(1, Result.SUCCEEDED),)
    verified = tell(Phase.SUCCEEDED, attempts=done, outcome=a_good_outcome())

    wrong = tell_wrong(verified, attempts=done)
    mended = tell(Phase.SUCCEEDED, previous=wrong, attempts=done)

    assert (mended["artifact"], truths(mended)) == (verified["artifact"], truths(verified))
    assert truths(mended)["AdapterVerified"] == "True"


def test_the_reason_to_stop_is_recorded_before_anything_is_stopped() -> None:
    stop = a_failure(Category.INTERRUPTION, reason="Suspended")
    decision = Decision(phase=Phase.RUNNING, reason="Suspended", message="", stop=stop)

    status = next_status({}, a_job(), Observed(attempts=(an_attempt(1),)), decision, NOW)

    (attempt,) = status["attempts"]
    assert (attempt["result"], attempt["stopping"]) == ("Running", True)
    assert (attempt["reason"], attempt["category"]) == ("Suspended", "Interruption")


@pytest.mark.parametrize(
    ("spec", "status", "due"),
    [
        pytest.param({}, {}, None, id="for ever"),
        pytest.param({"ttlSecondsAfterFinished": 60}, {}, NOW + seconds(60), id="after a minute"),
        pytest.param({"ttlSecondsAfterFinished": 0}, {}, NOW, id="at once"),
        pytest.param({"ttlSecondsAfterFinished": 0}, {"cleanupTime": "x"}, None, id="done already"),
    ],
)
def test_children_of_a_finished_job_are_deleted_when_their_time_is_up(
    spec: dict[str, Any], status: dict[str, Any], due: datetime | None
) -> None:
    assert find_cleanup({"completionTime": render_time(NOW), **status}, spec) == due


def test_a_rejected_job_requires_its_user() -> None:
    status = tell_wrong({})

    assert (status["phase"], status["observedGeneration"]) == ("Pending", 1)
    assert truths(status) == {"Accepted": "False", "Stalled": "True", "Ready": "False"}
    assert "runId" not in status


def test_a_pod_template_made_invalid_after_acceptance_requires_its_user_too() -> None:
    job = a_job(podTemplate={"spec": {"hostNetwork": True}}, status={"runId": "x"})
    observed = Observed()
    decision = decide(job, observed, NOW)

    status = next_status({}, job, observed, decision, NOW)

    assert truths(status) == {"Accepted": "False", "Stalled": "True", "Ready": "False"}


def test_a_finished_job_acknowledges_an_edit_and_changes_nothing_else() -> None:
    status = tell(Phase.SUCCEEDED, outcome=a_good_outcome())

    seen = acknowledged_status(status, 2, status["definitionDigest"])

    assert is_finished(a_job_body(status=seen))
    assert seen["observedGeneration"] == 2
    assert {found["observedGeneration"] for found in seen["conditions"]} == {2}
    assert {**seen, "conditions": 0} == {**status, "conditions": 0, "observedGeneration": 2}
    assert status_patch(seen, acknowledged_status(seen, 2, status["definitionDigest"])) == {}


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        pytest.param({"a": 1}, {"a": 1}, {}, id="equal"),
        pytest.param({}, {"a": 1}, {"a": 1}, id="new"),
        pytest.param({"a": 1}, {}, {"a": None}, id="gone"),
        pytest.param({"a": [1]}, {"a": [1, 2]}, {"a": [1, 2]}, id="lists are replaced"),
        pytest.param(
            {"a": {"b": 1, "c": 2, "d": 3}},
            {"a": {"b": 1, "c": 3}},
            {"a": {"c": 3, "d": None}},
            id="objects are merged",
        ),
        pytest.param({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}, id="of another kind"),
    ],
)
def test_a_patch_is_the_difference_of_two_statuses(
    before: dict[str, Any], after: dict[str, Any], patch: dict[str, Any]
) -> None:
    assert status_patch(before, after) == patch


@pytest.mark.parametrize(
    ("previous", "estimated", "peak", "memory"),
    [
        pytest.param({}, None, None, None, id="nothing is known"),
        pytest.param({}, 15 * GIB, None, {"estimated": "15Gi"}, id="before it runs"),
        pytest.param(
            {"estimated": "12Gi", "peak": "11Gi"},
            15 * GIB,
            None,
            {"estimated": "12Gi", "peak": "11Gi"},
            id="the trainer wins",
        ),
        pytest.param(
            {"estimated": "12Gi", "peak": "11Gi"},
            15 * GIB,
            float(13 * GIB),
            {"estimated": "12Gi", "peak": "13Gi"},
            id="the outcome contains the peak",
        ),
    ],
)
def test_memory_is_reported_as_estimated_or_measured(
    previous: dict[str, str], estimated: int | None, peak: float | None, memory: object
) -> None:
    job = replace(a_job(), estimated_memory_bytes=estimated)
    figures = {} if peak is None else {"peak_memory_bytes": peak}
    outcome = None if peak is None else replace(a_good_outcome(), figures=figures)
    decision = Decision(phase=Phase.RUNNING, reason="Because", message="so it is")
    observed = Observed(attempts=(an_attempt(),), outcome=outcome)

    status = next_status({"memory": previous}, job, observed, decision, NOW)

    assert status.get("memory") == memory
