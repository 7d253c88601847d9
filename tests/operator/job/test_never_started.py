# SPDX-License-Identifier: Apache-2.0
"""A pod that a node refused before anything of it ran is no attempt; the retry waits minutes."""

from datetime import datetime
from typing import Any

import pytest

from finetune_contract.outcome import Category
from finetune_operator.job.attempts import (
    Attempt,
    Result,
    count_failed,
    next_start,
    render_attempts,
)
from finetune_operator.job.decide.decision import decide
from finetune_operator.job.decide.next_step import Decision
from finetune_operator.job.observe.observation import Children, Observed, observe
from finetune_operator.objects.names import Phase
from finetune_operator.objects.raw import Body
from support.factories import (
    DISRUPTED,
    NOW,
    a_bad_outcome,
    a_failure,
    a_job,
    a_job_body,
    a_pod,
    a_training_job,
    an_attempt,
    seconds,
)
from support.kubelet import a_refused_pod, a_seen_pod, a_trainer, an_init, ended, waits

BACKOFF = "Job has reached the specified backoff limit"
ALLOCATE = "Allocate failed due to no healthy devices present, which is unexpected"


def watch(*pods: Body, nodes: int = 1, **spec: Any) -> Observed:
    job = a_training_job(ended="Failed", message=BACKOFF, nodes=nodes)
    status = {"runId": "0123456789", "attempts": render_attempts([an_attempt()])}
    spec |= {"resources": {"nodes": nodes, "gpusPerNode": 1}}
    children = Children(training_jobs=(job,), pods=pods)
    return observe(a_job(**spec), a_job_body(status=status, **spec), children, NOW)


def rule_on(*attempts: Attempt, now: datetime = NOW, **spec: Any) -> Decision:
    job = a_job(retry={"maxAttempts": 1}, **spec)
    return decide(job, Observed(attempts=attempts), now)


def refused(number: int = 1, start: float = 0) -> Attempt:
    failure = a_failure(
        Category.INTERRUPTION, reason="PodRejected", message="pod x was rejected by node gpu-1"
    )
    begin = NOW + seconds(start)
    return an_attempt(number, Result.INTERRUPTED, start=begin, lasted=seconds(2), failure=failure)


@pytest.mark.parametrize(
    "reason",
    ["UnexpectedAdmissionError", "OutOfnvidia.com/gpu", "OutOfcpu", "NodeAffinity", "Evicted"],
)
def test_a_pod_refused_by_its_node_uses_up_no_attempt_and_the_node_is_named(reason: str) -> None:
    observed = watch(a_refused_pod(reason, ALLOCATE, "gpu-7"))

    assert observed.newest is not None
    failure = observed.newest.failure
    assert failure is not None
    assert (failure.reason, failure.category) == ("PodRejected", Category.INTERRUPTION)
    assert failure.message == (
        f"pod balloon-1-abcde was rejected by node gpu-7: {reason}: Pod was rejected: {ALLOCATE}"
    )
    assert count_failed(observed.attempts) == 0
    assert observed.newest.pods_started is None
    assert observed.newest.interruptions == ()


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(
            a_seen_pod(an_init(ended(1)), a_trainer(waits())), id="an init container has run"
        ),
        pytest.param(
            a_pod(phase="Failed", status={"conditions": [DISRUPTED]}), id="its node was lost"
        ),
        pytest.param(a_seen_pod(a_trainer(ended(1))), id="the trainer has run"),
    ],
)
def test_a_pod_that_ran_or_was_stopped_does_not_count_as_refused(pod: Body) -> None:
    observed = watch(pod)

    assert observed.newest is not None
    assert not observed.newest.never_started


def test_a_refused_pod_is_the_cause_among_several_nodes() -> None:
    saved = a_bad_outcome(Category.INTERRUPTION, reason="Interrupted").to_json()
    going = {"deletionTimestamp": "2026-05-04T12:00:00Z"}
    observed = watch(
        a_seen_pod(a_trainer(ended(143, saved)), name="balloon-1-0", metadata=going),
        a_refused_pod("UnexpectedAdmissionError", ALLOCATE, name="balloon-1-1"),
        nodes=2,
    )

    assert observed.newest is not None
    assert observed.newest.never_started


def test_a_refused_pod_is_retried_indefinitely_with_delays_of_minutes() -> None:
    delays = []
    for number in range(1, 30):
        attempts = [refused(n) for n in range(1, number + 1)]
        start, end = next_start(attempts), attempts[-1].end
        assert start is not None
        assert end is not None
        delays.append((start - end).total_seconds())

    assert delays[:5] == [60, 120, 240, 300, 300]
    assert max(delays) == 300
    decision = rule_on(*[refused(n) for n in range(1, 30)], now=NOW + seconds(600))
    assert decision.attempt_to_start == 30


def test_the_status_reports_that_the_pod_did_not_start_and_on_which_node() -> None:
    decision = rule_on(refused(), now=NOW + seconds(10))

    assert decision.phase is Phase.RETRYING
    assert "attempt 1 did not start (pod x was rejected by node gpu-1)" in decision.message
    assert decision.check_again_in == seconds(52)


def test_the_start_deadline_covers_all_tries() -> None:
    tries = [refused(1), refused(2, start=70)]
    limit = {"startDeadlineSeconds": 100}

    early = rule_on(*tries, now=NOW + seconds(99), **limit)
    late = rule_on(*tries, now=NOW + seconds(100), **limit)

    assert early.phase is Phase.RETRYING
    assert (late.phase, late.reason) == (Phase.FAILED, "PodsNotStarted")
    assert "pod x was rejected by node gpu-1" in late.message
    assert late.failure is not None
    assert late.failure.category is Category.PLATFORM


def test_the_start_deadline_covers_the_pod_that_waits_now() -> None:
    status = {"runId": "x", "attempts": render_attempts([refused(1), an_attempt(2)])}
    job = a_training_job(2)
    pending = a_pod(2, phase="Pending", metadata={"creationTimestamp": "2026-05-04T12:05:00Z"})
    children = Children(training_jobs=(job,), pods=(pending,))

    observed = observe(a_job(), a_job_body(status=status), children, NOW + seconds(600))

    assert observed.waiting_since == NOW
