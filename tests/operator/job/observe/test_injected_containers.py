# SPDX-License-Identifier: Apache-2.0
"""A pod has other containers than the trainer: they do not change how the trainer ended."""

import asyncio
from datetime import datetime
from typing import Any

import pytest

from finetune_contract.outcome import Category
from finetune_operator.job.attempts import Result, render_attempts
from finetune_operator.job.decide.decision import decide
from finetune_operator.job.observe.observation import Children, Observed, observe
from finetune_operator.job.reconcile import reconcile
from finetune_operator.objects.names import Phase
from finetune_operator.objects.raw import Body
from finetune_operator.objects.times import render_time
from support.factories import (
    DISRUPTED,
    NOW,
    SETTINGS,
    a_bad_outcome,
    a_good_outcome,
    a_job,
    a_job_body,
    a_training_job,
    an_attempt,
    seconds,
)
from support.fake_cluster import FakeCluster
from support.kubelet import (
    RUNS,
    a_seen_pod,
    a_sidecar,
    a_trainer,
    an_init,
    ended,
    waits,
)

GOOD = a_good_outcome().to_json()
NOT_FOUND = a_bad_outcome(Category.USER, reason="ModelNotFound").to_json()
LATER = NOW + seconds(60)
GOING = {"deletionTimestamp": render_time(NOW)}


def watch(*pods: Body, training_job: Body | None = None, nodes: int = 1) -> Observed:
    job = training_job or a_training_job(nodes=nodes)
    children = Children(training_jobs=(job,), pods=pods)
    status = {"runId": "0123456789", "attempts": render_attempts([an_attempt()])}
    spec = {"resources": {"nodes": nodes, "gpusPerNode": 1}}
    return observe(a_job(**spec), a_job_body(status=status, **spec), children, LATER)


def tell(observed: Observed) -> tuple[Phase, str, str]:
    decision = decide(a_job(), observed, LATER)
    return decision.phase, decision.reason, decision.message


@pytest.mark.parametrize(
    "companion",
    [
        pytest.param(a_sidecar(RUNS), id="runs on"),
        pytest.param(a_sidecar(waits("ImagePullBackOff", "no such image")), id="never came"),
        pytest.param(a_sidecar(waits("CreateContainerConfigError", "no secret")), id="no secret"),
    ],
)
def test_a_trainer_that_ended_well_has_succeeded_although_a_sidecar_runs(companion: Any) -> None:
    observed = watch(a_seen_pod(a_trainer(ended(0, GOOD)), companion))

    assert observed.newest is not None
    assert (observed.newest.result, observed.newest.end) == (Result.SUCCEEDED, NOW)
    assert observed.outcome == a_good_outcome()
    phase, _, message = tell(observed)
    assert phase is Phase.SUCCEEDED
    assert (
        "container istio-proxy kept running after the trainer exited: the operator is ending pod"
        in message
    )


def test_a_trainer_that_failed_has_failed_at_once_although_a_sidecar_runs() -> None:
    observed = watch(a_seen_pod(a_trainer(ended(64, NOT_FOUND)), a_sidecar(RUNS)))

    phase, reason, message = tell(observed)
    assert (phase, reason) == (Phase.FAILED, "ModelNotFound")
    assert "container istio-proxy kept running after the trainer exited" in message
    assert observed.newest is not None
    assert observed.newest.exit_code == 64


@pytest.mark.parametrize(
    "conditions",
    [pytest.param([], id="by itself"), pytest.param([DISRUPTED], id="in a drain")],
)
@pytest.mark.parametrize("ended_as", [None, "Failed"])
def test_a_sidecar_that_fails_after_the_trainer_does_not_fail_the_attempt(
    conditions: list[Any], ended_as: str | None
) -> None:
    pod = a_seen_pod(
        a_trainer(ended(0, GOOD)), a_sidecar(ended(1)), status={"conditions": conditions}
    )
    job = a_training_job(ended=ended_as, message="Job has reached the specified backoff limit")

    phase, _, message = tell(watch(pod, training_job=job))

    assert phase is Phase.SUCCEEDED
    assert "container istio-proxy ended with exit code 1 in pod balloon-1-abcde" in message


def test_a_written_outcome_counts_regardless_of_the_exit_code() -> None:
    """For example, an interpreter that aborts after the upload."""
    observed = watch(a_seen_pod(a_trainer(ended(134, GOOD))))

    assert tell(observed)[0] is Phase.SUCCEEDED
    assert observed.outcome == a_good_outcome()


def test_a_failed_outcome_counts_even_with_exit_code_zero() -> None:
    pod = a_seen_pod(a_trainer(ended(0, NOT_FOUND)))

    observed = watch(pod, training_job=a_training_job(ended="Complete"))

    assert tell(observed)[:2] == (Phase.FAILED, "ModelNotFound")


def test_a_late_stop_does_not_hide_a_permanent_failure() -> None:
    """A deadline of the Job, or of the operator, expired after the trainer's own failure."""
    pod = a_seen_pod(a_trainer(ended(64, NOT_FOUND)), a_sidecar(ended(137)), metadata=GOING)
    job = a_training_job(ended="Failed", message="Job was active longer than specified deadline")

    assert tell(watch(pod, training_job=job))[:2] == (Phase.FAILED, "ModelNotFound")


def test_a_running_trainer_is_not_waiting_because_a_sidecars_image_is_missing() -> None:
    sidecar = a_sidecar(waits("ImagePullBackOff", "no such image"))
    observed = watch(a_seen_pod(a_trainer(RUNS), sidecar))

    assert (observed.started_pods, observed.waiting_since, observed.waiting_for) == (1, None, "")


SAVED = a_bad_outcome(Category.INTERRUPTION, reason="Interrupted").to_json()


class TestSeveralNodes:
    def test_an_attempt_has_succeeded_when_every_trainer_has(self) -> None:
        pods = [a_node(n, ended(0, GOOD), a_sidecar(RUNS)) for n in (0, 1)]

        assert tell(watch(*pods, nodes=2))[0] is Phase.SUCCEEDED

    def test_an_attempt_has_not_ended_while_one_trainer_still_trains(self) -> None:
        pods = [a_node(0, RUNS, a_sidecar()), a_node(1, ended(0), a_sidecar())]

        observed = watch(*pods, nodes=2)

        assert observed.newest is not None
        assert observed.newest.result is Result.RUNNING

    def test_one_failed_trainer_in_a_held_pod_ends_the_attempt(self) -> None:
        pods = [a_node(0, RUNS, a_sidecar()), a_node(1, ended(64, NOT_FOUND), a_sidecar())]

        assert tell(watch(*pods, nodes=2))[:2] == (Phase.FAILED, "ModelNotFound")


def test_a_sidecar_that_fails_on_one_node_and_ends_the_others_is_named() -> None:
    pods = [
        a_node(0, ended(143, SAVED), a_sidecar(ended(0)), metadata=GOING),
        a_node(1, ended(0), a_sidecar(ended(1, "no route to the control plane"))),
    ]
    job = a_training_job(ended="Failed", message="Job has reached the backoff limit", nodes=2)

    observed = watch(*pods, training_job=job, nodes=2)

    assert observed.newest is not None
    assert observed.newest.failure is not None
    assert observed.newest.failure.reason == "SidecarFailed"
    assert "istio-proxy of pod balloon-1-1 ended" in observed.newest.failure.message
    assert "no route to the control plane" in observed.newest.failure.message


def a_node(index: int, state: Any, *others: Any, metadata: Any = None) -> Body:
    where = {"batch.kubernetes.io/job-completion-index": str(index)}
    given = {"annotations": where, **(metadata or {})}
    return a_seen_pod(a_trainer(state), *others, name=f"balloon-1-{index}", metadata=given)


class TestThePodIsEnded:
    """The remaining containers are ended after the end of the attempt was recorded."""

    def run(self, *states: Any, max_attempts: int = 3) -> tuple[FakeCluster, Any]:
        body = a_job_body(
            status={"runId": "0123456789", "attempts": render_attempts([an_attempt()])},
            retry={"maxAttempts": max_attempts},
        )
        cluster = FakeCluster(body)
        cluster.objects["Job", "balloon-1"] = a_training_job()
        cluster.objects["Pod", "balloon-1-abcde"] = a_seen_pod(*states)
        return cluster, lambda now: asyncio.run(self.passes(cluster, now))

    async def passes(self, cluster: FakeCluster, now: datetime) -> list[Any]:
        return [
            await reconcile(cluster.job, cluster=cluster, settings=SETTINGS, now=now)
            for _ in range(4)
        ]

    @pytest.mark.parametrize(
        ("state", "phase"),
        [
            pytest.param(ended(0, GOOD), "Succeeded", id="succeeded"),
            pytest.param(ended(64, NOT_FOUND), "Failed", id="failed permanently"),
            pytest.param(ended(75), "Retrying", id="to be tried again"),
        ],
    )
    def test_the_end_is_recorded_after_half_a_minute_and_not_before(
        self, state: Any, phase: str
    ) -> None:
        cluster, go_on = self.run(a_trainer(state), a_sidecar(RUNS))

        first = go_on(NOW + seconds(5))
        assert cluster.status["phase"] == phase
        assert "delete balloon-1" not in cluster.writes
        assert all(it.check_again_in <= seconds(25) for it in first[1:])

        go_on(NOW + seconds(31))
        assert cluster.writes.index("delete balloon-1") > cluster.writes.index("status")
        assert cluster.status["phase"] == phase
        assert cluster.status["attempts"][0]["result"] in ("Succeeded", "Failed")

    def test_the_next_attempt_waits_until_the_pod_has_ended(self) -> None:
        cluster, go_on = self.run(a_trainer(ended(75)), a_sidecar(RUNS))

        go_on(NOW + seconds(300))

        assert len(cluster.training_jobs()) == 1
        message = next(it for it in cluster.status["conditions"] if it["type"] == "Ready")
        assert "balloon-1-abcde" in message["message"]

    def test_an_interrupted_trainer_is_replaced_by_its_job_only(self) -> None:
        """Also between the end of its container and the end of its pod."""
        cluster, go_on = self.run(a_trainer(ended(143, SAVED)))

        for phase in ("Running", "Failed"):
            cluster.objects["Pod", "balloon-1-abcde"]["status"]["phase"] = phase
            go_on(NOW + seconds(5))

        assert len(cluster.training_jobs()) == 1
        assert [it["result"] for it in cluster.status["attempts"]] == ["Running"]

    def test_no_attempt_starts_while_the_last_job_may_still_create_a_pod(self) -> None:
        cluster, go_on = self.run(a_trainer(ended(143, SAVED)), a_sidecar(RUNS))
        go_on(NOW + seconds(5))
        assert [it["result"] for it in cluster.status["attempts"]] == ["Interrupted"]
        ended_pod = a_seen_pod(a_trainer(ended(143, SAVED)), a_sidecar(ended(0)))
        ended_pod["status"]["phase"] = "Failed"
        cluster.objects["Pod", "balloon-1-abcde"] = ended_pod

        go_on(NOW + seconds(10))

        assert len(cluster.training_jobs()) == 1
        message = next(it for it in cluster.status["conditions"] if it["type"] == "Ready")
        assert message["message"] == "waiting for Job balloon-1 to end"
        go_on(NOW + seconds(31))
        assert "delete balloon-1" in cluster.writes
        del cluster.objects["Job", "balloon-1"]
        go_on(NOW + seconds(32))
        assert [it["metadata"]["name"] for it in cluster.training_jobs()] == ["balloon-2"]

    def test_a_job_that_ends_by_itself_is_not_deleted(self) -> None:
        cluster, go_on = self.run(a_trainer(ended(0, GOOD)), a_sidecar(RUNS))
        go_on(NOW + seconds(5))
        cluster.objects["Job", "balloon-1"] = a_training_job(ended="Complete")

        go_on(NOW + seconds(600))

        assert "delete balloon-1" not in cluster.writes


def test_a_failing_init_container_is_named_with_its_message() -> None:
    pod = a_seen_pod(an_init(ended(1, "iptables: permission denied")), a_trainer(waits()))
    job = a_training_job(ended="Failed", message="Job has reached the specified backoff limit")

    observed = watch(pod, training_job=job)

    assert observed.newest is not None
    failure = observed.newest.failure
    assert failure is not None
    assert (failure.reason, failure.category) == (
        "InitContainerFailed",
        Category.INFRASTRUCTURE,
    )
    assert "init container istio-init of pod balloon-1-abcde ended with exit code 1" in (
        failure.message
    )
    assert "iptables: permission denied" in failure.message
