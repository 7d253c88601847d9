# SPDX-License-Identifier: Apache-2.0
"""Why a pod does not start on its node, if only Events report it."""

import asyncio
from typing import Any

import pytest

from finetune_operator.job.observe.observation import Children
from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.kube.client import ApiError
from finetune_operator.kube.jobs import KubeCluster
from finetune_operator.objects.names import EVENTS
from finetune_operator.objects.times import render_time
from support.factories import NOW, a_job_body, a_training_job, seconds
from support.fake_api import FakeApi
from support.kubelet import RUNS, a_seen_pod, a_trainer, an_init, waits

MOUNT = 'MountVolume.SetUp failed for volume "ca" : configmap "company-ca" not found'
CREATING = a_seen_pod(a_trainer(waits("ContainerCreating")))


def ask(
    pod: dict[str, Any], *events: dict[str, Any], after: float = 20, api: Any = None
) -> tuple[Children, list[str]]:
    api, cache = api or FakeApi(), ObjectCache()
    cache.remember(Kind.TRAINING_JOB, a_training_job())
    cache.remember(Kind.POD, pod)
    for event in events:
        api.put(EVENTS, event)
    cluster = KubeCluster(api, cache, lambda: NOW + seconds(after))
    return asyncio.run(cluster.children_of(a_job_body())), api.calls


def an_event(
    message: str, reason: str = "FailedMount", *, at: float = 5, **given: Any
) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "team", "name": f"{reason}-{message[-9:]}"},
        "involvedObject": {"uid": CREATING["metadata"]["uid"]},
        "reason": reason,
        "message": message,
        "lastTimestamp": render_time(NOW + seconds(at)),
        **given,
    }


def words(children: Children) -> tuple[str, ...]:
    return tuple(children.pod_events.get(CREATING["metadata"]["uid"], ()))


def test_the_newest_event_about_each_volume_is_found() -> None:
    attach = an_event("Multi-Attach error for volume pvc-1", "FailedAttachVolume", at=9)
    of_another = an_event("x", involvedObject={"uid": "another"})
    over = an_event("0/3 nodes", "FailedScheduling")

    children, _ = ask(CREATING, an_event(MOUNT), attach, of_another, over)

    assert words(children) == (
        "FailedAttachVolume: Multi-Attach error for volume pvc-1",
        f"FailedMount: {MOUNT}",
    )


def test_newer_events_with_times_in_other_fields_are_read() -> None:
    series = {"lastObservedTime": render_time(NOW + seconds(60))}
    newer = an_event("newer", "FailedCreatePodSandBox", lastTimestamp=None, series=series)

    children, _ = ask(CREATING, an_event(MOUNT), newer)

    assert words(children)[0] == "FailedCreatePodSandBox: newer"


@pytest.mark.parametrize(
    ("pod", "after"),
    [
        pytest.param(CREATING, 5, id="it has not waited long"),
        pytest.param(a_seen_pod(a_trainer(RUNS)), 99, id="it runs"),
        pytest.param(a_seen_pod(a_trainer(waits()), node=None), 99, id="no node yet"),
        pytest.param(
            a_seen_pod(a_trainer(waits("ErrImagePull", "no such image"))),
            99,
            id="its status shows why",
        ),
    ],
)
def test_no_events_are_requested_for_a_pod_that_is_not_waiting(
    pod: dict[str, Any], after: float
) -> None:
    children, calls = ask(pod, an_event(MOUNT), after=after)

    assert not children.pod_events
    assert "list events" not in calls


def test_events_are_requested_for_a_pod_that_waits_for_an_init_container() -> None:
    pod = a_seen_pod(an_init(waits("PodInitializing")), a_trainer(waits()))

    _, calls = ask(pod)

    assert "list events" in calls


def test_without_the_right_to_read_events_nothing_is_delayed() -> None:
    api = FakeApi()
    api.fail_list[EVENTS] = ApiError(403, "Forbidden", "no")

    assert words(ask(CREATING, api=api)[0]) == ()
