# SPDX-License-Identifier: Apache-2.0
"""Interruptions are recorded, and repeated ones without progress end the job."""

from dataclasses import replace
from typing import Any

import pytest

from finetune_contract.outcome import Category
from finetune_operator.job.attempts import Attempt, Result, parse_attempts, render_attempts
from finetune_operator.job.decide.decision import decide
from finetune_operator.job.decide.next_step import Decision
from finetune_operator.job.interruptions import Interruption
from finetune_operator.job.observe.observation import Children, Observed, observe
from finetune_operator.job.status.events import build_job_event, find_turning_points
from finetune_operator.job.status.status import next_status
from finetune_operator.objects.names import Phase
from finetune_operator.objects.raw import Body
from finetune_operator.objects.times import render_time
from support.factories import (
    NOW,
    a_bad_outcome,
    a_failure,
    a_job,
    a_job_body,
    a_training_job,
    an_attempt,
    seconds,
)
from support.kubelet import RUNS, a_seen_pod, a_trainer, ended

DISK = "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi."
EVICTED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "TerminationByKubelet",
    "message": DISK,
}


def evicted(number: int, message: str = DISK) -> Body:
    status = {"reason": "Evicted", "message": message, "conditions": [EVICTED]}
    at = NOW + seconds(60 * number)
    return a_seen_pod(
        a_trainer(ended(137, at=at)),
        name=f"balloon-1-{number}",
        node=f"gpu-{number}",
        metadata={"creationTimestamp": render_time(at)},
        status=status,
    )


def running(number: int) -> Body:
    at = render_time(NOW + seconds(60 * number))
    return a_seen_pod(
        a_trainer(RUNS), name=f"balloon-1-{number}", metadata={"creationTimestamp": at}
    )


def watch(attempts: list[Attempt], *pods: Body, **status: Any) -> Observed:
    children = Children(training_jobs=(a_training_job(),), pods=pods)
    known = {"runId": "0123456789", "attempts": render_attempts(attempts), **status}
    return observe(a_job(), a_job_body(status=known), children, NOW + seconds(3600))


def rule_on(observed: Observed) -> Decision:
    return decide(a_job(), observed, NOW + seconds(3600))


def an_interruption(number: int = 1, **given: Any) -> Interruption:
    fields = {"reason": "Evicted", "message": DISK, "pod": f"p-{number}", "node": "gpu-1"}
    return Interruption(time=NOW + seconds(60 * number), **{**fields, **given})


def test_a_pod_replaced_within_the_attempt_is_recorded() -> None:
    observed = watch([an_attempt()], evicted(1), running(2))

    assert observed.newest is not None
    (told,) = observed.newest.interruptions
    assert (told.reason, told.message, told.pod, told.node) == (
        "Evicted",
        DISK,
        "balloon-1-1",
        "gpu-1",
    )
    assert told.time == NOW + seconds(60)


def test_each_interruption_is_recorded_once_and_outlives_its_pod() -> None:
    first = watch([an_attempt()], evicted(1), running(2))
    again = watch(list(first.attempts), evicted(1), running(2))
    after = watch(list(again.attempts), evicted(3))

    assert first.attempts == again.attempts
    assert after.newest is not None
    assert [it.pod for it in after.newest.interruptions] == ["balloon-1-1", "balloon-1-3"]


def test_each_interruption_has_its_own_event() -> None:
    body, statuses = a_job_body(), []
    attempts = [an_attempt()]
    for number in (1, 2):
        observed = watch(attempts, evicted(number))
        attempts = list(observed.attempts)
        decision = rule_on(observed)
        statuses.append(next_status({}, a_job(), observed, decision, NOW))

    points = [
        point
        for before, after in zip([{}, *statuses], statuses, strict=False)
        for point in find_turning_points(before, after)
        if point.reason == "Interrupted"
    ]

    told = [build_job_event(body, point, statuses[-1], NOW) for point in points]
    assert points[0].message == (
        f"attempt 1: pod balloon-1-1 on node gpu-1 was interrupted by Evicted: {DISK}"
    )
    assert len({event["metadata"]["name"] for event in told}) == 2
    assert find_turning_points(statuses[-1], statuses[-1]) == ()


def test_evictions_that_gain_no_step_end_the_job_with_a_remedy() -> None:
    four = [an_interruption(number) for number in range(1, 5)]
    attempt = replace(an_attempt(), interruptions=tuple(four))

    assert rule_on(watch([attempt], running(6))).stop is None
    fifth = rule_on(watch([attempt], evicted(5), running(6)))

    assert fifth.stop is not None
    assert (fifth.stop.reason, fifth.stop.category) == ("InterruptedTooOften", Category.USER)
    assert "interrupted 5 times in a row without completing a step" in fifth.stop.message
    assert DISK in fifth.stop.message
    assert "spec.resources.ephemeralStorage" in fifth.stop.remedy


def test_the_stopped_attempt_fails_the_job_permanently() -> None:
    five = tuple(an_interruption(number) for number in range(1, 6))
    attempt = replace(an_attempt(), interruptions=five)
    stop = rule_on(watch([attempt], running(6))).stop
    stopping = replace(attempt, is_stopping=True, failure=stop)

    observed = observe(
        a_job(),
        a_job_body(status={"runId": "x", "attempts": render_attempts([stopping])}),
        Children(),
        NOW,
    )

    decision = decide(a_job(), observed, NOW)
    assert (decision.phase, decision.reason) == (Phase.FAILED, "InterruptedTooOften")


@pytest.mark.parametrize(
    "last",
    [
        pytest.param({"step": 20}, id="a step was gained"),
        pytest.param({"reason": "EvictionByEvictionAPI"}, id="for another reason"),
    ],
)
def test_an_interruption_with_progress_or_another_cause_is_retried(last: dict[str, Any]) -> None:
    steps = [an_interruption(number, step=10) for number in range(1, 5)]
    attempt = replace(an_attempt(), interruptions=(*steps, an_interruption(5, step=10)))
    assert rule_on(watch([attempt], running(6))).stop is not None

    fields = {"step": 10, **last}
    other = replace(an_attempt(), interruptions=(*steps, an_interruption(5, **fields)))

    assert rule_on(watch([other], running(6))).stop is None


def test_a_trainer_that_reports_no_steps_may_have_gained_some() -> None:
    drained = [
        an_interruption(
            number,
            reason="EvictionByEvictionAPI",
            start=NOW + seconds(60 * number) - seconds(1200),
        )
        for number in range(1, 11)
    ]
    brief = [replace(it, start=it.time - seconds(20)) for it in drained]

    assert rule_on(watch([with_all(drained)], running(11))).stop is None
    stop = rule_on(watch([with_all(brief)], running(11))).stop
    assert stop is not None
    assert stop.category is Category.PLATFORM


def with_all(interruptions: list[Interruption]) -> Attempt:
    return replace(an_attempt(), interruptions=tuple(interruptions))


def test_repeatedly_interrupted_attempts_of_several_nodes_end_the_same_way() -> None:
    attempts = [
        replace(
            an_attempt(number, Result.INTERRUPTED, failure=a_failure(Category.INTERRUPTION)),
            interruptions=(an_interruption(number),),
        )
        for number in range(1, 6)
    ]

    four = rule_on(Observed(attempts=tuple(attempts[:4])))
    five = rule_on(Observed(attempts=tuple(attempts)))

    assert four.attempt_to_start == 5
    assert (five.phase, five.reason) == (Phase.FAILED, "InterruptedTooOften")


def test_the_cause_is_recorded_when_several_nodes_end_together() -> None:
    job = a_training_job(ended="Failed", nodes=2)
    saved = a_bad_outcome(Category.INTERRUPTION).to_json()
    pods = (evicted(1), a_seen_pod(a_trainer(ended(143, saved)), name="balloon-1-0"))
    status = {"runId": "x", "attempts": render_attempts([an_attempt()])}
    spec = {"resources": {"nodes": 2, "gpusPerNode": 1}}

    observed = observe(
        a_job(**spec),
        a_job_body(status=status, **spec),
        Children(training_jobs=(job,), pods=pods),
        NOW,
    )

    assert observed.newest is not None
    assert [it.reason for it in observed.newest.interruptions] == ["Evicted"]


def test_a_stop_by_the_user_is_not_an_interruption() -> None:
    stopping = an_attempt(1, is_stopping=True, failure=a_failure(reason="Suspended"))

    observed = watch([stopping], a_seen_pod(a_trainer(ended(143))))

    assert observed.newest is not None
    assert observed.newest.interruptions == ()


def test_the_step_of_an_interruption_is_that_of_the_checkpoint() -> None:
    progress = {"attempt": 1, "step": 30, "checkpointStep": 25}

    observed = watch([an_attempt()], evicted(1), progress=progress)

    assert observed.newest is not None
    assert observed.newest.interruptions[0].step == 25


def test_the_record_is_bounded_and_read_back_unchanged() -> None:
    many = [with_all([an_interruption(n, start=NOW, step=n) for n in range(40)]), an_attempt(2)]

    kept = parse_attempts({"attempts": render_attempts(many)})

    assert [it.step for it in kept[0].interruptions] == list(range(30, 40))
    assert parse_attempts({"attempts": render_attempts(kept)}) == kept


@pytest.mark.parametrize(
    ("given", "category", "remedy"),
    [
        pytest.param(
            {"message": 'Usage of EmptyDir volume "work" exceeds the limit "1Gi".'},
            Category.USER,
            "spec.resources.ephemeralStorage",
            id="its own disk use",
        ),
        pytest.param(
            {"message": "The node was low on resource: memory."},
            Category.USER,
            "spec.resources.memory",
            id="memory of the node",
        ),
        pytest.param(
            {"reason": "PreemptionByScheduler"}, Category.USER, "priorityClassName", id="preempted"
        ),
        pytest.param(
            {"reason": "DeletionByTaintManager"}, Category.PLATFORM, "save_steps", id="drained"
        ),
        pytest.param(
            {"reason": "TrainingJobDeleted"}, Category.PLATFORM, "who deletes", id="Job deleted"
        ),
    ],
)
def test_each_cause_names_who_must_act_and_what_to_change(
    given: dict[str, Any], category: Category, remedy: str
) -> None:
    all_of_them = [an_interruption(number, **given) for number in range(1, 11)]

    stop = rule_on(watch([with_all(all_of_them)], running(11))).stop

    assert stop is not None
    assert stop.category is category
    assert remedy in stop.remedy
