# SPDX-License-Identifier: Apache-2.0
"""Builders of the operator's input, so that a test states only its subject."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from finetune_contract.outcome import Artifact, Category, Failure, Outcome
from finetune_operator.job.attempts import Attempt, Result
from finetune_operator.job.spec import FineTuneJob, parse_job
from finetune_operator.objects.times import render_time
from finetune_operator.settings import Settings

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)

CONFIG: Mapping[str, Any] = {
    "model_name_or_path": "s3://models/tiny",
    "dataset_name": "s3://datasets/tiny",
    "learning_rate": 2e-5,
}

SETTINGS = Settings(
    trainer_image="trainer:1",
    namespace="finetune-system",
    identity="replica-0_1234",
    replica="replica-0",
    progress_url="http://finetune-operator.finetune-system.svc:8080",
    listen_address="127.0.0.1",
    port=8080,
    webhook_port=8443,
    webhook_certificates=None,
    webhook_validity=timedelta(days=1),
    workers=2,
    resync=timedelta(minutes=5),
    progress_interval=timedelta(seconds=10),
    shared_memory="1Gi",
    kubeconfig=None,
    log_level="INFO",
)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def a_job_body(
    name: str = "balloon",
    *,
    uid: str = "uid-of-job",
    config: Mapping[str, Any] = CONFIG,
    metadata: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A FineTuneJob as the API server returns it, with defaults."""
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {
            "namespace": "team",
            "name": name,
            "uid": uid,
            "generation": 1,
            "resourceVersion": "1",
            **(metadata or {}),
        },
        "spec": {
            "config": dict(config),
            "resources": {"nodes": 1, "gpusPerNode": 1},
            "output": {"uri": "s3://models/balloon"},
            "retry": {"maxAttempts": 3},
            "terminationGracePeriodSeconds": 600,
            **spec,
        },
        **({} if status is None else {"status": dict(status)}),
    }


def a_job(name: str = "balloon", **given: Any) -> FineTuneJob:
    return parse_job(a_job_body(name, **given), SETTINGS)


def a_training_job(
    attempt: int = 1,
    *,
    owner: str = "uid-of-job",
    job: str = "balloon",
    ended: str | None = None,
    message: str = "",
    at: datetime = NOW,
    nodes: int = 1,
    suspended: bool = False,
) -> dict[str, Any]:
    """The batch Job of an attempt; `ended` is the condition it ended with."""
    conditions = []
    if ended is not None:
        conditions = [
            {
                "type": ended,
                "status": "True",
                "reason": "PodFailurePolicy" if ended == "Failed" else "CompletionsReached",
                "message": message,
                "lastTransitionTime": render_time(at),
            }
        ]
    return {
        "metadata": {
            "namespace": "team",
            "name": f"{job}-{attempt}",
            "uid": f"uid-of-{owner}-{attempt}",
            "resourceVersion": "1",
            "creationTimestamp": render_time(NOW),
            "labels": {"finetune.dev/job": job, "finetune.dev/attempt": str(attempt)},
            "ownerReferences": [{"uid": owner, "controller": True}],
        },
        "spec": {
            "completions": nodes,
            "completionMode": "Indexed" if nodes > 1 else "NonIndexed",
            "suspend": suspended,
        },
        "status": {"conditions": conditions},
    }


def a_pod(
    attempt: int = 1,
    *,
    name: str = "",
    owner: str = "uid-of-job",
    job: str = "balloon",
    phase: str = "Running",
    status: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    name = name or f"{job}-{attempt}-abcde"
    return {
        "metadata": {
            "namespace": "team",
            "name": name,
            "uid": f"uid-of-{name}",
            "resourceVersion": "1",
            "creationTimestamp": render_time(NOW),
            "labels": {"finetune.dev/job": job, "finetune.dev/attempt": str(attempt)},
            "ownerReferences": [{"uid": f"uid-of-{owner}-{attempt}", "controller": True}],
            **(metadata or {}),
        },
        "status": {"phase": phase, **(status or {})},
    }


def an_ended_pod(
    exit_code: int,
    *,
    message: str = "",
    reason: str = "Error",
    at: datetime = NOW,
    conditions: list[dict[str, str]] | None = None,
    **given: Any,
) -> dict[str, Any]:
    """A pod whose trainer has ended; `message` is its termination message."""
    terminated = {
        "exitCode": exit_code,
        "message": message,
        "reason": reason,
        "finishedAt": render_time(at),
    }
    return a_pod(
        phase="Failed" if exit_code else "Succeeded",
        status={
            "conditions": conditions or [],
            "containerStatuses": [{"name": "trainer", "state": {"terminated": terminated}}],
        },
        **given,
    )


DISRUPTED = {"type": "DisruptionTarget", "status": "True", "message": "node is being drained"}


def a_failure(category: Category = Category.INFRASTRUCTURE, **given: Any) -> Failure:
    fields: dict[str, Any] = {
        "reason": "StoreUnreachable",
        "message": "no answer",
        "remedy": "wait",
    } | given
    return Failure(category=category, **fields)


def a_bad_outcome(category: Category = Category.INFRASTRUCTURE, **given: Any) -> Outcome:
    """Step 7 was taken; step 5 is saved."""
    failure = a_failure(category, **given)
    return Outcome(failure=failure, step=7, total_steps=10, checkpoint_step=5, world_size=1)


def a_good_outcome(**given: Any) -> Outcome:
    fields: dict[str, Any] = {
        "artifact": Artifact(uri="s3://models/balloon/x/adapter", digest="sha256:1", size_bytes=9),
        "adapter_verified": True,
        "step": 10,
        "total_steps": 10,
        "checkpoint_step": 10,
        "world_size": 1,
        "figures": {"loss": 0.5},
    }
    return Outcome(**fields | given)


def an_attempt(
    number: int = 1,
    result: Result = Result.RUNNING,
    *,
    start: datetime = NOW,
    lasted: timedelta = timedelta(minutes=1),
    category: Category | None = None,
    **given: Any,
) -> Attempt:
    """By default a failed attempt has an internal cause, and an interrupted one an interruption."""
    if category is None and result in (Result.FAILED, Result.INTERRUPTED):
        interrupted = result is Result.INTERRUPTED
        category = Category.INTERRUPTION if interrupted else Category.INFRASTRUCTURE
    fields: dict[str, Any] = {
        "name": f"balloon-{number}",
        "start": start,
        "end": None if result is Result.RUNNING else start + lasted,
        "failure": None if category is None else a_failure(category),
    }
    return Attempt(number=number, result=result, **fields | given)
