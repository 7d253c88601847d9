# SPDX-License-Identifier: Apache-2.0
"""Jobs that are suspended, changed, late or cleaned up, with a fake API server that crashes."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from finetune_contract.outcome import Category
from finetune_operator.objects.times import render_time
from support.factories import (
    CONFIG,
    NOW,
    a_bad_outcome,
    a_good_outcome,
    a_job_body,
    a_pod,
    a_training_job,
    an_ended_pod,
    seconds,
)
from support.fake_cluster import Crash, FakeCluster
from support.long_form import keeping
from support.operator_passes import settle

Scene = Callable[[FakeCluster, datetime], None]


def run(cluster: FakeCluster, now: datetime) -> None:
    """The newest attempt's pod runs."""
    number = cluster.status["attempt"]
    cluster.objects["Job", f"balloon-{number}"]["status"] = {"startTime": render_time(now)}
    cluster.objects["Pod", f"balloon-{number}-abcde"] = a_pod(number)


def save(cluster: FakeCluster, now: datetime) -> None:
    """The pod of the Job that is being deleted has saved and ended, then both are deleted."""
    going = [job for job in cluster.training_jobs() if "deletionTimestamp" in job["metadata"]]
    if not going:
        return
    number = int(going[0]["metadata"]["labels"]["finetune.dev/attempt"])
    outcome = a_bad_outcome(Category.INTERRUPTION, reason="Interrupted")
    pod = an_ended_pod(outcome.exit_code, message=outcome.to_json(), at=now, attempt=number)
    cluster.objects["Pod", f"balloon-{number}-abcde"] = pod
    settle(cluster, now)
    for kind, name in [*cluster.objects]:
        if kind in ("Job", "Pod") and name.startswith(f"balloon-{number}"):
            del cluster.objects[kind, name]


def edit(**spec: Any) -> Scene:
    def scene(cluster: FakeCluster, now: datetime) -> None:
        cluster.job["spec"] |= spec
        metadata = cluster.job["metadata"]
        metadata["generation"] += 1
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)

    return scene


def succeed(cluster: FakeCluster, now: datetime) -> None:
    number = cluster.status["attempt"]
    pod = an_ended_pod(0, message=a_good_outcome().to_json(), at=now, attempt=number)
    cluster.objects["Pod", f"balloon-{number}-abcde"] = pod
    cluster.objects["Job", f"balloon-{number}"]["status"] = {
        "conditions": [
            {"type": "Complete", "status": "True", "lastTransitionTime": render_time(now)}
        ]
    }


SUSPEND, RESUME = edit(suspend=True), edit(suspend=False)
CHANGE = edit(config={**CONFIG, "learning_rate": 1e-5}, onChange="Rerun")
TOKEN = edit(runToken="again")
WRONG = edit(config={**CONFIG, "learning_rte": 1e-5}, onChange="Rerun")
MENDED = edit(config=CONFIG)

LIVES = [
    pytest.param(
        [run, SUSPEND, save, RESUME, run, succeed],
        "Succeeded",
        [("Interrupted", "Suspended", 2), ("Succeeded", None, 0)],
        id="suspended and resumed",
    ),
    pytest.param([SUSPEND], "Suspended", [("Interrupted", "Suspended", None)], id="before it ran"),
    pytest.param(
        [run, CHANGE, save, run, succeed],
        "Succeeded",
        [("Interrupted", "SpecChanged", 2), ("Succeeded", None, 0)],
        id="changed while it runs",
    ),
    pytest.param(
        [run, succeed, CHANGE, run, succeed],
        "Succeeded",
        [("Succeeded", None, 0), ("Succeeded", None, 0)],
        id="changed when it was done",
    ),
    pytest.param(
        [run, succeed, TOKEN, run, succeed],
        "Succeeded",
        [("Succeeded", None, 0), ("Succeeded", None, 0)],
        id="a new token",
    ),
    pytest.param(
        [run, WRONG, SUSPEND, save],
        "Pending",
        [("Interrupted", "Suspended", 2)],
        id="suspended after an edit that no webhook saw to be wrong",
    ),
    pytest.param(
        [run, WRONG, succeed, MENDED],
        "Succeeded",
        [("Succeeded", None, 0)],
        id="done after such an edit, which was taken back",
    ),
    pytest.param(
        [run, succeed, SUSPEND, RESUME], "Succeeded", [("Succeeded", None, 0)], id="too late"
    ),
]


def live(scenes: list[Scene], **crash: int) -> FakeCluster:
    """The job's life with an operator that is killed at one write and restarted."""
    cluster = FakeCluster(a_job_body())
    cluster.crash_before, cluster.crash_after = crash.get("before"), crash.get("after")
    for number, scene in enumerate([lambda cluster, now: None, *scenes]):
        now = NOW + seconds(60 * number)
        survive(lambda now=now, scene=scene: scene(cluster, now))
        # The garbage collector: a Job that is being deleted is removed when it has no pods.
        survive(lambda now=now: settle(cluster, now))
        collect_garbage(cluster)
        survive(lambda now=now: settle(cluster, now))
    return cluster


def survive(work: Callable[[], None]) -> None:
    try:
        work()
    except Crash:
        work()


def collect_garbage(cluster: FakeCluster) -> None:
    for kind, name in [*cluster.objects]:
        going = "deletionTimestamp" in cluster.objects[kind, name]["metadata"]
        if kind == "Job" and going and ("Pod", f"{name}-abcde") not in cluster.objects:
            del cluster.objects[kind, name]


def records(cluster: FakeCluster) -> list[tuple[Any, ...]]:
    return [
        (record["result"], record.get("reason"), record.get("stepsLost"))
        for record in cluster.status["attempts"]
    ]


@pytest.mark.parametrize(
    ("scenes", "phase", "attempts"),
    keeping(("suspended and resumed", "before it ran", "a new token"), LIVES),
)
def test_a_job_ends_the_same_however_often_the_operator_is_killed(
    scenes: list[Scene], phase: str, attempts: list[tuple[Any, ...]]
) -> None:
    undisturbed = live(scenes)
    assert undisturbed.status["phase"] == phase
    assert records(undisturbed) == attempts

    for number in range(len(undisturbed.writes)):
        for crash in ({"before": number}, {"after": number}):
            cluster = live(scenes, **crash)

            assert (cluster.status["phase"], records(cluster)) == (phase, attempts), crash


def test_two_attempts_never_run_at_a_time() -> None:
    cluster = FakeCluster(a_job_body())
    settle(cluster)
    run(cluster, NOW)
    CHANGE(cluster, NOW)
    settle(cluster)

    assert [job["metadata"]["name"] for job in cluster.training_jobs()] == ["balloon-1"]
    assert cluster.status["runId"] != FakeCluster(a_job_body()).status.get("runId")

    save(cluster, NOW)
    settle(cluster)

    assert [job["metadata"]["name"] for job in cluster.training_jobs()] == ["balloon-2"]


def test_an_edit_that_does_not_define_the_run_restarts_nothing() -> None:
    cluster = FakeCluster(a_job_body())
    settle(cluster)
    run(cluster, NOW)
    settle(cluster)
    before = cluster.status["attempts"]

    edit(retry={"maxAttempts": 9}, ttlSecondsAfterFinished=5)(cluster, NOW)
    settle(cluster)

    assert cluster.status["attempts"] == before
    assert cluster.status["observedGeneration"] == 2


def test_children_of_a_finished_job_are_removed_and_the_job_stays_finished() -> None:
    cluster = FakeCluster(a_job_body(ttlSecondsAfterFinished=60))
    settle(cluster)
    run(cluster, NOW)
    succeed(cluster, NOW)
    settle(cluster)
    # Of an attempt so old that its record was pruned.
    cluster.objects["Job", "balloon-0"] = a_training_job(0)

    settle(cluster, NOW + seconds(60))

    assert not cluster.training_jobs()
    assert not [kind for kind, _ in cluster.objects if kind == "ConfigMap"]
    assert cluster.status["phase"] == "Succeeded"
    writes = list(cluster.writes)
    settle(cluster, NOW + seconds(9999))
    assert cluster.writes == writes


def test_the_deadline_restarts_when_a_queue_admits_the_job_again() -> None:
    cluster = FakeCluster(a_job_body(activeDeadlineSeconds=60))
    settle(cluster)
    run(cluster, NOW)
    settle(cluster)
    job = cluster.objects["Job", "balloon-1"]

    job["spec"]["suspend"], job["status"] = True, {}
    del cluster.objects["Pod", "balloon-1-abcde"]
    settle(cluster, NOW + seconds(3600))
    assert (cluster.status["phase"], "startTime" in cluster.status) == ("Queued", False)

    job["spec"]["suspend"] = False
    run(cluster, NOW + seconds(7200))
    settle(cluster, NOW + seconds(7259))
    assert not cluster.status["attempts"][0].get("stopping")

    settle(cluster, NOW + seconds(7260))
    assert cluster.status["attempts"][0]["stopping"]


def test_a_job_past_its_deadline_saves_and_fails() -> None:
    cluster = FakeCluster(a_job_body(activeDeadlineSeconds=60))
    settle(cluster)
    run(cluster, NOW)
    settle(cluster)
    late = NOW + seconds(60)
    settle(cluster, late)
    assert cluster.status["attempts"][0]["stopping"] is True

    save(cluster, late)
    settle(cluster, late)

    assert cluster.status["phase"] == "Failed"
    assert cluster.status["failure"]["reason"] == "DeadlineExceeded"
    assert not cluster.training_jobs()
