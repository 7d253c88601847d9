# SPDX-License-Identifier: Apache-2.0
"""Why a pod failed whose trainer has no recorded end. No I/O here.

The trainer may never have started: the node refused the pod, or an init container failed.
"""

from finetune_contract.outcome import Category, Failure
from finetune_contract.reasons import Reason
from finetune_operator.job.observe.containers import (
    Container,
    has_anything_run,
    read_containers,
)
from finetune_operator.job.observe.endings import who_stopped
from finetune_operator.objects.raw import Body

INIT_REMEDY = (
    "check what that container does and needs; if your pod template does not define it, ask your "
    "platform team what injects it into pods of this namespace"
)


def was_rejected(pod: Body) -> bool:
    """Whether its node refused the pod before anything of it ran, without a deletion request."""
    is_failed = pod.get("status", {}).get("phase") == "Failed"
    return is_failed and who_stopped(pod) is None and not has_anything_run(pod)


def judge_lost_pod(pod: Body) -> Failure:
    """The failure of a failed pod; with the kubelet's own reason, if any, such as `Evicted`."""
    if was_rejected(pod):
        return _judge_rejected(pod)
    status, stopped = pod["status"], who_stopped(pod)
    if stopped is None and not status.get("reason") and (failed := _find_failed(pod)) is not None:
        return _judge_other_container(pod, failed)
    name = pod["metadata"]["name"]
    words = (
        status.get("message") or stopped or f"pod {name} failed, and its status contains no cause"
    )
    category = Category.INTERRUPTION if stopped else Category.INFRASTRUCTURE
    failure = Reason.POD_FAILED.failure(words, category=category)
    return failure.with_reason(status.get("reason"))


def _judge_rejected(pod: Body) -> Failure:
    status, node = pod["status"], pod.get("spec", {}).get("nodeName")
    where = f"node {node}" if node else "the kubelet"
    told = ": ".join(filter(None, (status.get("reason"), status.get("message"))))
    return Reason.POD_REJECTED.failure(
        f"pod {pod['metadata']['name']} was rejected by {where}{told and f': {told}'}",
        "no action if the node recovers; otherwise cordon it and check its kubelet and devices",
    )


def _find_failed(pod: Body) -> Container | None:
    """The first other container that failed; the end of a native sidecar ends no pod."""
    found = (it for it in read_containers(pod) if not it.is_trainer and not it.is_native_sidecar)
    return next((it for it in found if it.exit_code), None)


def _judge_other_container(pod: Body, failed: Container) -> Failure:
    reason = Reason.INIT_CONTAINER_FAILED if failed.is_init else Reason.SIDECAR_FAILED
    when = "before the trainer started" if failed.is_init else "and failed the Job"
    words = failed.last_words
    return reason.failure(
        f"{failed.title} of pod {pod['metadata']['name']} ended with exit code "
        f"{failed.exit_code} {when}{words and f': {words}'}",
        INIT_REMEDY,
    )
