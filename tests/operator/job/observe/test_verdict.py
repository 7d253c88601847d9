# SPDX-License-Identifier: Apache-2.0
"""Why an attempt failed: one row for each kind of source, in the order of precedence."""

from typing import Any

import pytest

from finetune_contract.outcome import Category
from finetune_contract.reasons import Reason
from finetune_operator.job.observe.verdict import MEMORY_REMEDY, find_outcome, judge_failure
from support.factories import (
    DISRUPTED,
    NOW,
    a_bad_outcome,
    a_good_outcome,
    a_pod,
    a_training_job,
    an_ended_pod,
    seconds,
)

QUOTED = (
    "Container trainer for pod team/balloon-1-abcde failed with exit code {} matching FailJob rule "
    "at index 1"
)

EVICTED = {"reason": "Evicted", "message": "low on disk"}
RUNNING = {"containerStatuses": [{"name": "trainer", "state": {"running": {}}}]}
"""The last report of a kubelet that can no longer report the end."""


def with_status(pod: dict[str, Any], **status: str) -> dict[str, Any]:
    return {**pod, "status": {**pod["status"], **status}}


def words(category: Category = Category.INFRASTRUCTURE, **given: Any) -> str:
    return a_bad_outcome(category, **given).to_json()


def an_echo(**given: Any) -> str:
    return words(reason=Reason.PEER_LOST, **given)


def judge(*pods: dict[str, Any], message: str = "", nodes: int = 1) -> Any:
    return judge_failure(a_training_job(ended="Failed", message=message, nodes=nodes), pods)


def test_an_outcome_is_trusted() -> None:
    outcome = a_bad_outcome(Category.USER, reason="DatasetNotFound")

    verdict = judge(an_ended_pod(64, message=outcome.to_json()))

    assert verdict.failure == outcome.failure
    assert verdict.exit_code == 64
    assert verdict.outcome is not None
    assert verdict.outcome.step == 7


@pytest.mark.parametrize(
    ("pod", "category", "reason", "message"),
    [
        pytest.param(
            an_ended_pod(137, reason="OOMKilled"),
            Category.INFRASTRUCTURE,
            "HostOutOfMemory",
            "more memory than its limit",
            id="killed for memory",
        ),
        pytest.param(
            an_ended_pod(137, message="step 5\nstep 6"),
            Category.INFRASTRUCTURE,
            "ExitedWithoutOutcome",
            "exit code 137 and wrote no outcome: step 5\nstep 6",
            id="killed: the log's end is quoted",
        ),
        pytest.param(
            an_ended_pod(1, message="Traceback"),
            Category.INTERNAL,
            "ExitedWithoutOutcome",
            "exit code 1",
            id="crashed",
        ),
        pytest.param(
            an_ended_pod(64),
            Category.USER,
            "ExitedWithoutOutcome",
            "exit code 64",
            id="code of ours",
        ),
        pytest.param(
            an_ended_pod(137, conditions=[DISRUPTED]),
            Category.INTERRUPTION,
            "PodStopped",
            "node is being drained",
            id="drained and too slow",
        ),
        pytest.param(
            an_ended_pod(137, metadata={"deletionTimestamp": "2026-05-04T12:00:00Z"}),
            Category.INTERRUPTION,
            "PodStopped",
            "it was deleted",
            id="deleted and too slow",
        ),
        pytest.param(
            a_pod(phase="Failed", status={**EVICTED, **RUNNING}),
            Category.INFRASTRUCTURE,
            "Evicted",
            "low on disk",
            id="failed before its container could end",
        ),
        pytest.param(
            a_pod(phase="Failed", status={"conditions": [DISRUPTED]}),
            Category.INTERRUPTION,
            "PodFailed",
            "node is being drained",
            id="node lost",
        ),
    ],
)
def test_a_pod_without_an_outcome_is_judged_by_its_state(
    pod: dict[str, Any], category: Category, reason: str, message: str
) -> None:
    failure = judge(pod).failure

    assert (failure.category, failure.reason) == (category, reason)
    assert message in failure.message


@pytest.mark.parametrize(
    ("pod", "category", "reason", "message"),
    [
        pytest.param(
            an_ended_pod(128, reason="StartError", message='exec: "train": not found'),
            Category.INFRASTRUCTURE,
            "ContainerStartFailed",
            'could not be started: exec: "train": not found',
            id="its program is missing",
        ),
        pytest.param(
            with_status(an_ended_pod(137), reason="DeadlineExceeded", message="Pod was active"),
            Category.INFRASTRUCTURE,
            "DeadlineExceeded",
            "Pod was active",
            id="the pod had a deadline of its own",
        ),
        pytest.param(
            with_status(an_ended_pod(137), **EVICTED),
            Category.INFRASTRUCTURE,
            "Evicted",
            "low on disk",
            id="evicted by a kubelet that marks nothing",
        ),
    ],
)
def test_the_kubelets_message_about_a_trainer_without_an_outcome_is_kept(
    pod: dict[str, Any], category: Category, reason: str, message: str
) -> None:
    failure = judge(pod).failure

    assert (failure.category, failure.reason) == (category, reason)
    assert message in failure.message


def test_a_memory_failure_has_a_remedy() -> None:
    assert judge(an_ended_pod(137, reason="OOMKilled")).failure.remedy == MEMORY_REMEDY


@pytest.mark.parametrize(
    ("message", "category"),
    [
        pytest.param(QUOTED.format(64), Category.USER, id="user"),
        pytest.param(QUOTED.format(143), Category.INTERRUPTION, id="interrupted"),
        pytest.param(QUOTED.format(77), Category.OUT_OF_MEMORY, id="out of memory"),
        pytest.param(QUOTED.format(137), Category.INFRASTRUCTURE, id="killed"),
        pytest.param("Job has reached the backoff limit", Category.INFRASTRUCTURE, id="none"),
    ],
)
def test_when_all_pods_are_gone_the_training_job_is_quoted(
    message: str, category: Category
) -> None:
    assert judge(message=message).failure.category is category


def test_a_training_job_that_failed_without_a_reason_is_an_infrastructure_failure() -> None:
    training_job = a_training_job(ended="Failed", message="Job has failed")
    assert judge_failure(training_job, ()).failure.reason == "PodFailurePolicy"
    training_job["status"]["conditions"][0].pop("reason")

    failure = judge_failure(training_job, ()).failure

    assert (failure.reason, failure.message) == ("TrainingJobFailed", "Job has failed")
    assert failure.category is Category.INFRASTRUCTURE


class TestSeveralNodes:
    """The source that decides if they differ."""

    def test_a_named_rank_wins_over_an_earlier_unexplained_exit(self) -> None:
        guilty = an_ended_pod(
            70, name="a", message=words(rank=3, reason="Bug"), at=NOW + seconds(5)
        )
        silent = an_ended_pod(137, name="b", at=NOW)

        assert judge(silent, guilty, nodes=2).failure.reason == "Bug"

    def test_the_earlier_of_two_named_ranks_wins(self) -> None:
        first = an_ended_pod(70, name="b", message=words(rank=1, reason="First"), at=NOW)
        second = an_ended_pod(
            70, name="a", message=words(rank=0, reason="Second"), at=NOW + seconds(1)
        )

        assert judge(second, first, nodes=2).failure.reason == "First"

    def test_a_killed_pod_wins_over_the_peer_that_lost_it(self) -> None:
        killed = an_ended_pod(137, name="b", reason="OOMKilled", at=NOW)
        echo = an_ended_pod(75, name="a", message=an_echo(rank=1), at=NOW)

        assert judge(echo, killed, nodes=2).failure.reason == "HostOutOfMemory"

    def test_a_lost_peer_is_the_cause_only_without_another_report(self) -> None:
        echo = an_ended_pod(75, message=an_echo(rank=1))

        assert judge(echo, nodes=2).failure.reason == Reason.PEER_LOST

    def test_the_pod_that_was_stopped_first_is_the_cause(self) -> None:
        stopped = an_ended_pod(143, name="b", message=words(Category.INTERRUPTION), at=NOW)
        echo = an_ended_pod(
            75, name="a", message=words(reason=Reason.PEER_LOST), at=NOW + seconds(1)
        )

        assert judge(echo, stopped, nodes=2).failure.category is Category.INTERRUPTION

    def test_a_disrupted_pod_is_the_cause(self) -> None:
        drained = an_ended_pod(137, name="b", conditions=[DISRUPTED], at=NOW)
        echo = an_ended_pod(
            75, name="a", message=words(reason=Reason.PEER_LOST), at=NOW + seconds(1)
        )

        assert judge(echo, drained, nodes=2).failure.category is Category.INTERRUPTION

    def test_pods_that_succeeded_are_not_the_cause(self) -> None:
        good = an_ended_pod(0, name="a", message=a_good_outcome().to_json(), at=NOW)
        bad = an_ended_pod(64, name="b", message=words(Category.USER), at=NOW + seconds(9))

        assert judge(good, bad, nodes=2).failure.category is Category.USER


def test_on_a_single_node_a_replaced_pod_is_not_the_cause() -> None:
    replaced = an_ended_pod(
        143, name="a", message=words(Category.INTERRUPTION), conditions=[DISRUPTED], at=NOW
    )
    failed = an_ended_pod(64, name="b", message=words(Category.USER), at=NOW + seconds(60))

    assert judge(replaced, failed).failure.category is Category.USER


def test_on_a_single_node_a_preempted_pod_that_saved_is_not_the_cause() -> None:
    preempted = an_ended_pod(
        143, name="first", message=a_bad_outcome(Category.INTERRUPTION).to_json()
    )
    failed = an_ended_pod(64, name="second", at=NOW + seconds(90))

    assert judge_failure(a_training_job(ended="Failed"), [preempted, failed]).exit_code == 64
    assert judge_failure(a_training_job(ended="Failed"), [preempted]).exit_code == 143


def test_a_successful_attempt_reports_the_outcome_with_the_artifact() -> None:
    with_artifact = a_good_outcome()
    without = a_good_outcome(artifact=None)
    pods = [
        an_ended_pod(0, name="a", message=without.to_json()),
        an_ended_pod(0, name="b", message=with_artifact.to_json()),
    ]

    assert find_outcome(pods) == with_artifact
    assert find_outcome(pods[:1]) == without
    assert find_outcome([an_ended_pod(0)]) is None
