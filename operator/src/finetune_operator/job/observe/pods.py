# SPDX-License-Identifier: Apache-2.0
"""The pods of an attempt: its own pods, their waiting reasons, lingering ones. No I/O here."""

import re
from collections.abc import Sequence
from datetime import datetime

from finetune_operator.job.observe.endings import has_ended, is_to_be_replaced
from finetune_operator.job.observe.lost_pods import was_rejected
from finetune_operator.job.observe.waiting import is_waiting
from finetune_operator.objects import conditions
from finetune_operator.objects.names import LABEL_ATTEMPT
from finetune_operator.objects.raw import Body
from finetune_operator.objects.times import parse_time

_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


def controller_uid(child: Body) -> str | None:
    """The uid of the object that manages this one."""
    for reference in child["metadata"].get("ownerReferences", ()):
        if reference.get("controller"):
            uid: str = reference["uid"]
            return uid
    return None


def attempt_number(training_job: Body) -> int | None:
    """The number of the attempt that this Job is; None if its label was edited: the name, which
    ends with the number, cannot be.
    """
    metadata = training_job["metadata"]
    label = str((metadata.get("labels") or {}).get(LABEL_ATTEMPT))
    is_number = _NUMBER.fullmatch(label) and metadata["name"].endswith(f"-{label}")
    return int(label) if is_number else None


def pods_of(training_job: Body, pods: Sequence[Body]) -> list[Body]:
    uid = training_job["metadata"]["uid"]
    return [pod for pod in pods if controller_uid(pod) == uid]


def current_pods(training_job: Body | None, pods: Sequence[Body]) -> list[Body]:
    """One pod for each node of the running attempt, without those that are replaced, or will be
    when a quota allows it.
    """
    if training_job is None:
        return []
    own = pods_of(training_job, pods)
    if training_job["spec"].get("completionMode") == "Indexed":
        return own
    newest = sorted(own, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))[-1:]
    return [pod for pod in newest if not is_to_be_replaced(pod)]


def start_time(training_job: Body) -> datetime | None:
    """When the Job was admitted; set again each time that a queue resumes it."""
    started = training_job.get("status", {}).get("startTime")
    return None if started is None else parse_time(started)


def first_start(pods: Sequence[Body]) -> datetime | None:
    """When the first of these pods started on its node; refused pods do not count."""
    starts = [pod.get("status", {}).get("startTime") for pod in pods if not was_rejected(pod)]
    return min((parse_time(start) for start in starts if start), default=None)


def waiting_since(
    training_job: Body | None, pods: Sequence[Body], *, has_run: bool
) -> datetime | None:
    """Since when a pod is not running yet, or was not even created (a quota).

    For a single node, the time since a replacement is missing is not recorded anywhere.
    """
    if training_job is None or training_job["spec"].get("suspend"):
        return None
    waiting = [pod for pod in pods if is_waiting(pod)]
    if waiting:
        return min(parse_time(pod["metadata"]["creationTimestamp"]) for pod in waiting)
    is_short = len(pods) < training_job["spec"].get("parallelism", 1)
    is_replaced = has_run and training_job["spec"].get("completionMode") != "Indexed"
    return start_time(training_job) if is_short and not is_replaced else None


def find_lingering(pods: Sequence[Body], training_job: Body | None) -> tuple[str, ...]:
    """Pods that run although they do not belong to the running attempt's Job."""
    current = pods_of(training_job, pods) if training_job is not None else []
    lingering = [pod for pod in pods if pod not in current and not has_ended(pod)]
    return tuple(sorted(pod["metadata"]["name"] for pod in lingering))


_IS_ENDING = ("FailureTarget", "SuccessCriteriaMet")
"""Conditions of a Job that creates no more pods and waits for those that must end."""


def lacks_pods(training_job: Body) -> bool:
    """Whether fewer pods exist than an admitted Job requires.

    Ending pods count: the Job controller creates no replacement until they have ended.
    """
    status = training_job.get("status", {})
    found = status.get("conditions", ())
    is_ending = any(conditions.is_true(found, type_) for type_ in _IS_ENDING)
    if "startTime" not in status or is_ending or "deletionTimestamp" in training_job["metadata"]:
        return False
    uncounted = status.get("uncountedTerminatedPods") or {}
    made = sum(status.get(count) or 0 for count in ("active", "succeeded", "terminating"))
    made += sum(len(uncounted.get(result) or ()) for result in ("succeeded", "failed"))
    return bool(made < training_job["spec"].get("parallelism", 1))


def find_silent_nodes(pods: Sequence[Body]) -> str:
    """The nodes that do not respond, with their pods in an unknown state."""
    lost = [pod for pod in pods if not has_ended(pod) and _is_on_silent_node(pod)]
    return ", ".join(
        f"node {pod['spec']['nodeName']} is NotReady, so it is unknown whether pod "
        f"{pod['metadata']['name']} is still running there"
        for pod in sorted(lost, key=lambda pod: str(pod["metadata"]["name"]))
    )


def _is_on_silent_node(pod: Body) -> bool:
    """The node controller marks the pod as not ready; a kubelet would do so for its containers."""
    found = pod.get("status", {}).get("conditions", ())
    ready = conditions.find(found, "Ready") or {}
    is_marked = ready.get("status") == "False" and conditions.is_true(found, "ContainersReady")
    # A readiness gate would have the same effect.
    return is_marked and not pod.get("spec", {}).get("readinessGates")
