# SPDX-License-Identifier: Apache-2.0
"""Why a pod whose trainer does not run yet is waiting, like `kubectl describe pod`. No I/O.

Checks every container and volume of the pod, including injected ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from finetune_contract.outcome import Category
from finetune_operator.job.observe.containers import (
    Container,
    has_trainer_started,
    read_containers,
)
from finetune_operator.job.observe.endings import has_ended
from finetune_operator.job.observe.policy_hints import hint_for
from finetune_operator.objects import conditions
from finetune_operator.objects.raw import Body

MAX_WORDS = 1024
"""Limit of one message: kubelets quote complete responses of registries and drivers."""

_MORE_TIME = "or raise spec.startDeadlineSeconds"
_LESS = f"request fewer resources, submit the job to a queue, {_MORE_TIME}"


class WaitsOn(Enum):
    """The party that must act while pods wait, and the remedy if that takes too long."""

    NOTHING = (Category.USER, f"check the events of the Job and its pods, {_MORE_TIME}")
    ROOM = (Category.USER, _LESS)
    IMAGE = (
        Category.USER,
        f"name an image that exists, set the pull secret it requires, {_MORE_TIME}",
    )
    CONTAINER = (Category.USER, f"create the objects that the container requires, {_MORE_TIME}")
    OTHER_CONTAINER = (
        Category.PLATFORM,
        (
            "ask your platform team what injects that container into pods of this namespace, "
            f"{_MORE_TIME}"
        ),
    )
    MISSING_VOLUME = (Category.USER, f"create the object that the volume refers to, {_MORE_TIME}")
    NODE = (Category.PLATFORM, f"check the volume's driver and the node, {_MORE_TIME}")
    PERMISSION = (Category.PLATFORM, f"request a larger quota or another policy, {_MORE_TIME}")

    @property
    def category(self) -> Category:
        return self.value[0]

    @property
    def remedy(self) -> str:
        return self.value[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Why pods of an attempt do not run."""

    complaint: str = ""
    """The message of the component that starts or creates the pod; empty if there is no problem."""
    standing: str = ""
    """The state of the first waiting pod, if no problem is reported."""
    on: WaitsOn = WaitsOn.NOTHING


PodWords = Mapping[str, Sequence[str]]
"""Messages of Events about pods, by uid: problems of volumes and sandboxes appear nowhere else."""


def is_waiting(pod: Body) -> bool:
    """Whether its trainer has yet to start."""
    return not has_trainer_started(pod) and not has_ended(pod)


def needs_events(pod: Body) -> bool:
    """Whether it is on its node, does not start, and its status has no reason."""
    is_bound = bool(pod.get("spec", {}).get("nodeName"))
    return is_waiting(pod) and is_bound and next(_complaints(pod), None) is None


def find_wait(pods: Sequence[Body], missing: int, refusal: str, events: PodWords) -> Wait:
    """The first problem of a pod, or of its creation; else the state of the first pod.

    `missing` is the number of pods not created yet.
    """
    waiting = [pod for pod in pods if is_waiting(pod)]
    for pod in waiting:
        if (wait := _find_complaint(pod, events)) is not None:
            return replace(wait, complaint=wait.complaint[:MAX_WORDS])
    if refusal:
        return Wait(
            complaint=f"a pod could not be created: {refusal}{hint_for(refusal)}",
            on=WaitsOn.PERMISSION,
        )
    if missing and not waiting:
        made = f"{len(pods)} of {len(pods) + missing} pods were created"
        words = made if pods else "no pod was created"
        return Wait(standing=f"{words}: see the events of the Job", on=WaitsOn.PERMISSION)
    return _find_standing(waiting[0]) if waiting else Wait()


def _find_complaint(pod: Body, events: PodWords) -> Wait | None:
    metadata = pod["metadata"]
    scheduled = conditions.find(pod.get("status", {}).get("conditions", ()), "PodScheduled")
    if scheduled and scheduled.get("status") == "False" and scheduled.get("message"):
        words = f"pod {metadata['name']} is not scheduled: {scheduled['message']}"
        return Wait(complaint=words, on=WaitsOn.ROOM)
    if found := list(_complaints(pod)):
        words = "; ".join(words for words, _ in found)
        return Wait(complaint=f"pod {metadata['name']} does not start: {words}", on=found[0][1])
    if told := events.get(str(metadata.get("uid")), ()):
        words = f"pod {metadata['name']} does not start: {'; '.join(told)}"
        is_missing = any("not found" in each for each in told)
        on = WaitsOn.MISSING_VOLUME if is_missing else WaitsOn.NODE
        return Wait(complaint=words, on=on)
    return None


def _complaints(pod: Body) -> Iterator[tuple[str, WaitsOn]]:
    """The kubelet's problems with containers, the trainer's first."""
    found = read_containers(pod)
    for container in sorted(found, key=lambda it: not it.is_trainer):
        waiting = container.waiting or {}
        if not waiting.get("message"):
            continue
        reason = str(waiting.get("reason"))
        whose = "" if container.is_trainer else f"{container.title}: "
        yield (
            f"{whose}{reason}: {waiting['message']}{_last_end(container)}",
            _turn(container, reason),
        )


def _turn(container: Container, reason: str) -> WaitsOn:
    if not container.is_trainer:
        return WaitsOn.OTHER_CONTAINER
    return WaitsOn.IMAGE if "Image" in reason else WaitsOn.CONTAINER


def _last_end(container: Container) -> str:
    """Why a container that restarts repeatedly ended the last time, from its own message."""
    if container.last_terminated is None:
        return ""
    words = container.last_words
    code = container.last_terminated.get("exitCode")
    return f" (it ended with exit code {code}{words and f': {words}'})"


def _find_standing(pod: Body) -> Wait:
    name, node = pod["metadata"]["name"], pod.get("spec", {}).get("nodeName")
    if "deletionTimestamp" in pod["metadata"]:
        return Wait(standing=f"pod {name} is being deleted")
    if not node:
        return Wait(standing=f"pod {name} is not scheduled yet", on=WaitsOn.ROOM)
    for container in read_containers(pod):
        is_done = container.is_started if container.is_native_sidecar else not container.running
        if container.is_init and container.running is not None and not is_done:
            since = container.running.get("startedAt")
            runs = f"which has been running since {since}" if since else "which is running"
            words = f"pod {name} waits for {container.title}, {runs}"
            return Wait(standing=words, on=WaitsOn.OTHER_CONTAINER)
    words = f"the containers of pod {name} are being created on node {node}"
    return Wait(standing=words, on=WaitsOn.NODE)
