# SPDX-License-Identifier: Apache-2.0
"""Every cause of waiting is named, as in `kubectl describe pod`."""

from typing import Any

import pytest

from finetune_contract.outcome import Category
from finetune_operator.job.attempts import render_attempts
from finetune_operator.job.decide.decision import decide
from finetune_operator.job.decide.next_step import Decision
from finetune_operator.job.observe.observation import Children, observe
from finetune_operator.objects.names import Phase
from finetune_operator.objects.raw import Body
from support.factories import NOW, a_job, a_job_body, a_training_job, an_attempt, seconds
from support.kubelet import (
    RUNS,
    a_seen_pod,
    a_sidecar,
    a_trainer,
    an_init,
    ended,
    waits,
)

POD = "pod balloon-1-abcde"
MOUNT = 'FailedMount: MountVolume.SetUp failed for volume "ca" : configmap "company-ca" not found'
ATTACH = 'FailedAttachVolume: Multi-Attach error for volume "pvc-1"'


def rule_on(
    *pods: Body, after: float = 60, events: tuple[str, ...] = (), refusal: str = "", **spec: Any
) -> Decision:
    told = {pod["metadata"]["uid"]: events for pod in pods if events}
    job = a_training_job()
    job["status"]["startTime"] = job["metadata"]["creationTimestamp"]
    children = Children(training_jobs=(job,), pods=pods, complaint=refusal, pod_events=told)
    status = {"runId": "0123456789", "attempts": render_attempts([an_attempt()])}
    now = NOW + seconds(after)
    observed = observe(a_job(**spec), a_job_body(status=status, **spec), children, now)
    return decide(a_job(**spec), observed, now)


WAITING = [
    pytest.param(
        a_seen_pod(an_init(waits("ImagePullBackOff", "no such image")), a_trainer(waits())),
        (),
        f"{POD} does not start: init container istio-init: ImagePullBackOff: no such image",
        Category.PLATFORM,
        id="the image of an init container",
    ),
    pytest.param(
        a_seen_pod(an_init(RUNS, "wait-for-database"), a_trainer(waits())),
        (),
        f"{POD} waits for init container wait-for-database, which has been running since "
        "2026-05-04T12:00:00Z",
        Category.PLATFORM,
        id="an init container that waits itself",
    ),
    pytest.param(
        a_seen_pod(an_init(RUNS, "istio-proxy", is_native_sidecar=True), a_trainer(waits())),
        (),
        f"{POD} waits for init container istio-proxy, which has been running since",
        Category.PLATFORM,
        id="a native sidecar that is not started",
    ),
    pytest.param(
        a_seen_pod(
            an_init(
                waits("CrashLoopBackOff", "back-off 40s restarting failed container"),
                "istio-proxy",
                is_native_sidecar=True,
                last=ended(1, "no certificate"),
            ),
            a_trainer(waits()),
        ),
        (),
        "restarting failed container (it ended with exit code 1: no certificate)",
        Category.PLATFORM,
        id="a native sidecar that is restarted again and again",
    ),
    pytest.param(
        a_seen_pod(
            a_trainer(waits("CreateContainerConfigError", 'secret "objectstore" not found'))
        ),
        (),
        f'{POD} does not start: CreateContainerConfigError: secret "objectstore" not found',
        Category.USER,
        id="a Secret of the trainer's",
    ),
    pytest.param(
        a_seen_pod(
            a_trainer(waits("ErrImagePull", "denied")),
            a_sidecar(waits("ErrImagePull", "no such image")),
        ),
        (),
        f"{POD} does not start: ErrImagePull: denied; container istio-proxy: ErrImagePull: no such",
        Category.USER,
        id="two images",
    ),
    pytest.param(
        a_seen_pod(a_trainer(waits("ContainerCreating"))),
        (MOUNT,),
        f"{POD} does not start: {MOUNT}",
        Category.USER,
        id="a volume whose ConfigMap is missing",
    ),
    pytest.param(
        a_seen_pod(a_trainer(waits("ContainerCreating"))),
        (ATTACH, MOUNT.replace("not found", "timed out")),
        f"{POD} does not start: {ATTACH}; FailedMount",
        Category.PLATFORM,
        id="volumes that can't be attached or mounted",
    ),
    pytest.param(
        a_seen_pod(a_trainer(waits("ContainerCreating"))),
        (),
        f"the containers of {POD} are being created on node gpu-1",
        Category.PLATFORM,
        id="a kubelet without a message",
    ),
    pytest.param(
        a_seen_pod(a_trainer(waits("ContainerCreating")), node=None),
        (),
        f"{POD} is not scheduled yet",
        Category.USER,
        id="a scheduler without a message",
    ),
]


@pytest.mark.parametrize(("pod", "events", "words", "category"), WAITING)
def test_the_reason_for_waiting_is_named_while_waiting_and_when_the_time_is_up(
    pod: Body, events: tuple[str, ...], words: str, category: Category
) -> None:
    waiting = rule_on(pod, events=events)
    too_late = rule_on(pod, events=events, startDeadlineSeconds=30)

    assert (waiting.phase, waiting.reason) == (Phase.STARTING, "PodsNotRunning")
    assert words in waiting.message
    assert waiting.check_again_in is not None
    assert too_late.stop is not None
    assert too_late.stop.reason == "PodsNotStarted"
    assert words in too_late.stop.message
    assert too_late.stop.category is category
    assert too_late.stop.remedy.endswith("or raise spec.startDeadlineSeconds")


def test_a_pods_startup_stage_is_reported_only_after_a_while() -> None:
    pod = a_seen_pod(an_init(RUNS), a_trainer(waits()))

    assert rule_on(pod, after=5).message == "0 of 1 pods are running"
    assert "istio-init" in rule_on(pod, after=20).message


def test_missing_pods_are_reported_only_if_there_are_none() -> None:
    refused = rule_on(refusal="pods is forbidden: exceeded quota", startDeadlineSeconds=30)
    unknown = rule_on(startDeadlineSeconds=30)

    assert refused.stop is not None
    assert "a pod could not be created: pods is forbidden: exceeded quota" in refused.stop.message
    assert refused.stop.category is Category.PLATFORM
    assert unknown.stop is not None
    assert "no pod was created" in unknown.stop.message


def test_a_run_document_reported_missing_by_the_kubelet_is_created_again() -> None:
    pod = a_seen_pod(a_trainer(waits("ContainerCreating")))
    missing = 'FailedMount: MountVolume.SetUp failed for volume "run" : configmap not found'

    assert rule_on(pod, events=(missing,)).is_repaired
    assert rule_on(pod).is_repaired
    assert not rule_on(a_seen_pod(a_trainer(waits("ErrImagePull", "denied")))).is_repaired
