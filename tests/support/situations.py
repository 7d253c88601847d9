# SPDX-License-Identifier: Apache-2.0
"""Jobs in every situation of a status, as the operator itself produces them.

Each is the result of observe, decide and next_status, so that tools are tested with users' real
objects.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_contract.outcome import Category
from finetune_operator.job.decide.decision import decide
from finetune_operator.job.observe.observation import Children, observe
from finetune_operator.job.spec import parse_job
from finetune_operator.job.status.finished import acknowledged_status
from finetune_operator.job.status.status import next_status
from support.factories import (
    CONFIG,
    DISRUPTED,
    NOW,
    SETTINGS,
    a_bad_outcome,
    a_good_outcome,
    a_job_body,
    a_pod,
    a_training_job,
    an_ended_pod,
    seconds,
)

LATER = NOW + seconds(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """A job as the API server returns it, and how tools should classify it."""

    name: str
    body: Mapping[str, Any]
    phase: str | None
    kstatus: str
    argo: str


def _after_pass(body: Mapping[str, Any], children: Children) -> dict[str, Any]:
    """The job after one pass of the operator that carried everything out."""
    job = parse_job(body, SETTINGS)
    observed = observe(job, body, children, LATER)
    decision = decide(job, observed, LATER)
    return {**body, "status": next_status(body.get("status", {}), job, observed, decision, LATER)}


def _a_job_with(
    children: Sequence[Children], progress: Mapping[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    """A job that was accepted and started, and then had these children, one after the other."""
    body = _after_pass(_created(**spec), Children())
    for seen in children:
        body["status"] = {**body["status"], "progress": dict(progress or {})}
        body = _after_pass(body, seen)
    return body


def _created(**spec: Any) -> dict[str, Any]:
    """As the API server first stores it: the CRD gives it this status by default."""
    return a_job_body(status={"observedGeneration": -1}, **spec)


def _edited(body: Mapping[str, Any]) -> dict[str, Any]:
    return {**body, "metadata": {**body["metadata"], "generation": 2}}


def _rejected() -> dict[str, Any]:
    return _after_pass(_created(config={**CONFIG, "learning_rte": 1}), Children())


def _children(training_job: dict[str, Any], *pods: dict[str, Any]) -> Children:
    return Children(training_jobs=(training_job,), pods=pods)


def _suspended() -> dict[str, Any]:
    return _after_pass(_created(suspend=True), Children())


_RUNNING = _children(a_training_job(), a_pod())
_SUCCEEDED = _a_job_with(
    [
        _children(
            a_training_job(ended="Complete"),
            an_ended_pod(0, message=a_good_outcome().to_json()),
        )
    ]
)
_FAILED = _a_job_with(
    [
        _children(
            a_training_job(ended="Failed"),
            an_ended_pod(64, message=a_bad_outcome(Category.USER).to_json()),
        )
    ]
)
_ACKNOWLEDGED = _edited(_SUCCEEDED)
_ACKNOWLEDGED["status"] = acknowledged_status(
    _SUCCEEDED["status"], 2, _SUCCEEDED["status"]["definitionDigest"]
)


SITUATIONS = tuple(
    Situation(name=name, body=body, phase=phase, kstatus=kstatus, argo=argo)
    for name, body, phase, kstatus, argo in (
        ("not seen by the operator yet", _created(), None, "InProgress", "Progressing"),
        ("rejected", _rejected(), "Pending", "Failed", "Degraded"),
        (
            "rejected, then edited",
            _edited(_rejected()),
            "Pending",
            "InProgress",
            "Progressing",
        ),
        (
            "accepted, and waiting for pods of an earlier job",
            _after_pass(_created(), Children(pods=(a_pod(owner="earlier"),))),
            "Pending",
            "InProgress",
            "Progressing",
        ),
        (
            "in a queue",
            _a_job_with([_children(a_training_job(suspended=True))]),
            "Queued",
            "InProgress",
            "Progressing",
        ),
        # Not Current, although a suspended batch Job is: objects that depend on the model must
        # wait.
        ("suspended", _suspended(), "Suspended", "InProgress", "Suspended"),
        (
            "starting",
            _a_job_with([_children(a_training_job(), a_pod(phase="Pending"))]),
            "Starting",
            "InProgress",
            "Progressing",
        ),
        (
            "training",
            _a_job_with([_RUNNING], {"attempt": 1, "phase": "Training", "step": 3}),
            "Running",
            "InProgress",
            "Progressing",
        ),
        (
            "publishing",
            _a_job_with([_RUNNING], {"attempt": 1, "phase": "Publishing", "step": 10}),
            "Publishing",
            "InProgress",
            "Progressing",
        ),
        (
            "waiting to be retried",
            _a_job_with(
                [
                    _children(
                        a_training_job(ended="Failed"),
                        an_ended_pod(69, message=a_bad_outcome().to_json()),
                    )
                ]
            ),
            "Retrying",
            "InProgress",
            "Progressing",
        ),
        (
            "interrupted, and started again",
            _a_job_with(
                [
                    _children(
                        a_training_job(ended="Failed"), an_ended_pod(143, conditions=[DISRUPTED])
                    )
                ]
            ),
            "Starting",
            "InProgress",
            "Progressing",
        ),
        ("succeeded", _SUCCEEDED, "Succeeded", "Current", "Healthy"),
        ("failed", _FAILED, "Failed", "Failed", "Degraded"),
        (
            "edited after it had succeeded",
            _edited(_SUCCEEDED),
            "Succeeded",
            "InProgress",
            "Progressing",
        ),
        (
            "edited after it had succeeded, and seen",
            _ACKNOWLEDGED,
            "Succeeded",
            "Current",
            "Healthy",
        ),
        (
            "being deleted",
            {
                **_FAILED,
                "metadata": {**_FAILED["metadata"], "deletionTimestamp": "2026-05-04T12:00:00Z"},
            },
            "Failed",
            "Terminating",
            "Progressing",
        ),
    )
)
