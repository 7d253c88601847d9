# SPDX-License-Identifier: Apache-2.0
"""Properties of a job's status for all states of its pods and its Job: true, complete, and bounded.

Over all container states, exit codes, termination messages and Job conditions that a kubelet and a
Job controller can produce, the operator's passes are run until they have nothing to write.
"""

import asyncio
import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from finetune_contract.documents import InvalidDocument
from finetune_contract.outcome import Category, Outcome
from finetune_operator.job.attempts import render_attempts
from finetune_operator.job.reconcile import reconcile
from finetune_operator.objects import conditions
from finetune_operator.objects.raw import Body
from support.factories import (
    NOW,
    SETTINGS,
    a_failure,
    a_good_outcome,
    a_job_body,
    a_training_job,
    an_attempt,
    seconds,
)
from support.fake_cluster import FakeCluster
from support.kubelet import RUNS, a_seen_pod, a_sidecar, a_trainer, ended
from support.kubelet_states import Scene, scenes

SOON, LATER = NOW + seconds(125), NOW + seconds(3600)
"""The start of every container was observed, and the time to end by itself is over."""

FINAL = frozenset({Category.USER, Category.PLATFORM, Category.OUT_OF_MEMORY})


@dataclass(frozen=True)
class Told:
    """The result of the passes over a scene."""

    scene: Scene
    cluster: FakeCluster

    @property
    def record(self) -> Any:
        return self.cluster.status["attempts"][0]

    @property
    def text(self) -> str:
        """All sentences about the attempt."""
        parts = [self.ready["message"], self.record.get("message", "")]
        parts.append(self.cluster.status.get("failure", {}).get("message", ""))
        return "\n".join(parts)

    @property
    def ready(self) -> Any:
        return conditions.require(self.cluster.status["conditions"], "Ready")

    @property
    def is_under_way(self) -> bool:
        return bool(self.record["result"] == "Running")


def run(scene: Scene, *, until: datetime = SOON, stopping: bool = False, **spec: Any) -> Told:
    stop = {"is_stopping": True, "failure": a_failure(Category.INTERRUPTION, reason="Suspended")}
    attempt = an_attempt(**(stop if stopping else {}))
    body = a_job_body(
        status={"runId": "0123456789", "attempts": render_attempts([attempt])},
        resources={"nodes": scene.nodes, "gpusPerNode": 1},
        **spec,
    )
    cluster = FakeCluster(body)
    cluster.objects["Job", "balloon-1"] = copy.deepcopy(scene.training_job)
    for pod in scene.pods:
        cluster.objects["Pod", pod["metadata"]["name"]] = pod
    for now in sorted({SOON, until}):
        asyncio.run(_passes(cluster, now))
    return Told(scene, cluster)


async def _passes(cluster: FakeCluster, now: datetime) -> None:
    for _ in range(8):
        # The requirements of pods are created again in every pass: only a status or a deletion is
        # news.
        before = [it for it in cluster.writes if not it.startswith("create")]
        await reconcile(cluster.job, cluster=cluster, settings=SETTINGS, now=now)
        if [it for it in cluster.writes if not it.startswith("create")] == before:
            return
    raise AssertionError(f"nothing comes to rest: {cluster.writes}")


def state_of(pod: Body) -> Body:
    """The state of its trainer, read without the tested code."""
    for found in pod["status"].get("containerStatuses", ()):
        if found["name"] == "trainer":
            state: Body = found["state"]
            return state
    return {}


def outcome_of(pod: Body) -> Outcome | None:
    try:
        return Outcome.from_json(state_of(pod).get("terminated", {}).get("message", ""))
    except InvalidDocument:
        return None


def is_good(pod: Body) -> bool:
    outcome = outcome_of(pod)
    if outcome is not None:
        return outcome.failure is None
    return bool(state_of(pod).get("terminated", {}).get("exitCode", 1) == 0)


def is_running(pod: Body) -> bool:
    return "running" in state_of(pod) and pod["status"]["phase"] not in ("Succeeded", "Failed")


def has_run(pod: Body) -> bool:
    """Whether any of its containers has run."""
    status = pod["status"]
    found = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    return any("waiting" not in it["state"] or it.get("lastState") for it in found)


def succeeded(scene: Scene) -> bool:
    """Whether the readable parts of its pods show a success."""
    is_published = any((it := outcome_of(pod)) and it.artifact for pod in scene.pods)
    return is_published or sum(map(is_good, scene.pods)) >= scene.nodes


def exit_codes(scene: Scene) -> set[str]:
    """The exit codes of all containers, and those that the Job quotes."""
    found = re.findall(r"'exitCode': (\d+)", str(scene.pods))
    return {*found, *re.findall(r"exit code (\d+)", str(scene.training_job))}


anything = given(scene=scenes(), stopping=st.booleans(), deadline=st.sampled_from([None, 60]))


def spec_of(deadline: int | None) -> dict[str, Any]:
    return {} if deadline is None else {"startDeadlineSeconds": deadline}


@anything
def test_the_status_never_contradicts_the_pods(
    scene: Scene, stopping: bool, deadline: int | None
) -> None:
    told = run(scene, stopping=stopping, **spec_of(deadline))

    names = {pod["metadata"]["name"]: pod for pod in scene.pods}
    assert set(re.findall(r"exit code (\d+)", told.text)) <= exit_codes(scene)
    for name in re.findall(r"pod (\S+) does not start", told.text):
        assert "waiting" in state_of(names[name])
    for name in re.findall(r"pod (\S+) is not scheduled", told.text):
        assert "nodeName" not in names[name].get("spec", {})
    for name in re.findall(r"pod (\S+) was rejected by", told.text):
        assert not has_run(names[name])
    for name in re.findall(r"ontainer (\S+) (?:of|in|kept|ended)", told.text):
        assert f"'name': '{name}'" in str(scene.pods)
    if "no pod was created" in told.text:
        assert not scene.pods
    if told.record.get("reason") == "ExitedWithoutOutcome":
        silent = [it for it in scene.pods if "terminated" in state_of(it) and not outcome_of(it)]
        assert silent or not scene.pods
    if told.ready["reason"] in ("Preparing", "Training", "Publishing"):
        assert any(is_running(pod) or pod["status"]["phase"] in ENDED for pod in scene.pods)
    if told.record.get("reason") == "PodRejected":
        assert told.record["result"] == "Interrupted"


ENDED = ("Succeeded", "Failed")
"""Phases of a pod that the Job controller will count in a moment."""


@anything
def test_only_running_pods_are_counted(scene: Scene, stopping: bool, deadline: int | None) -> None:
    told = run(scene, stopping=stopping, **spec_of(deadline))

    if (counted := re.match(r"(\d) of \d pods are running", told.ready["message"])) is not None:
        started = [it for it in scene.pods if {"running", "terminated"} & set(state_of(it))]
        replaced = [it for it in started if it["status"]["phase"] == "Failed"]
        assert len(started) - len(replaced) <= int(counted[1]) <= len(started)


@anything
@example(
    scene=Scene(
        nodes=1,
        training_job=a_training_job(),
        pods=(a_seen_pod(a_trainer(ended(0, a_good_outcome().to_json())), a_sidecar(RUNS)),),
    ),
    stopping=False,
    deadline=None,
)
def test_no_readable_outcome_is_lost(scene: Scene, stopping: bool, deadline: int | None) -> None:
    told = run(scene, stopping=stopping, **spec_of(deadline))

    is_complete = conditions.is_true(scene.training_job["status"]["conditions"], "Complete")
    if not told.is_under_way:
        is_well = succeeded(scene) or (is_complete and not scene.pods)
        assert (told.record["result"] == "Succeeded") == is_well
    if told.record["result"] == "Succeeded":
        published = [it for pod in scene.pods if (it := outcome_of(pod)) and it.artifact]
        uri = told.cluster.status.get("artifact", {}).get("uri")
        assert uri == (published[0].artifact.uri if published else None)
    elif not told.is_under_way and scene.nodes == 1 and scene.pods:
        outcome = outcome_of(scene.pods[-1])
        failure = outcome.failure if outcome is not None else None
        if failure is not None and failure.category in FINAL:
            assert told.record["reason"] == failure.reason


@anything
def test_the_outcome_is_reported_at_once_although_a_sidecar_runs(
    scene: Scene, stopping: bool, deadline: int | None
) -> None:
    told = run(scene, stopping=stopping, **spec_of(deadline))

    kept = [pod for pod in scene.pods if pod["status"]["phase"] not in ENDED]
    has_ended = [it for it in kept if "terminated" in state_of(it)]
    is_alone = scene.nodes == 1 and has_ended and "deletionTimestamp" not in kept[0]["metadata"]
    is_whole = has_ended and succeeded(scene) and not any(map(is_running, scene.pods))
    if is_alone or is_whole:
        assert not told.is_under_way


@anything
def test_no_gpu_is_held_without_a_deadline_or_a_reason(
    scene: Scene, stopping: bool, deadline: int | None
) -> None:
    told = run(scene, until=LATER, stopping=stopping, **spec_of(deadline))

    is_going = "deletionTimestamp" in told.cluster.objects["Job", "balloon-1"]["metadata"]
    for pod in scene.pods:
        is_bound = "nodeName" in pod.get("spec", {}) and pod["status"]["phase"] not in ENDED
        if not is_bound or is_going or "deletionTimestamp" in pod["metadata"]:
            continue
        # A running training has a separate watch for hung ranks.
        is_busy = told.is_under_way and any(map(is_running, scene.pods))
        assert is_busy or is_named(told, scene.pods)


def is_named(told: Told, pods: Sequence[Body]) -> bool:
    """Whether the message names a waiting pod, of those that do not run."""
    waiting = [pod["metadata"]["name"] for pod in pods if not is_running(pod)]
    return told.is_under_way and any(name in told.ready["message"] for name in waiting)
