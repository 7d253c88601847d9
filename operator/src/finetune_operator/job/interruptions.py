# SPDX-License-Identifier: Apache-2.0
"""Interruptions as `status.attempts` records them, and those without progress. No I/O here.

An interruption is no failure and is not counted. The same interruption again and again without
progress wastes GPUs, and fails the job with a message that names the change to make.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from finetune_contract.outcome import Category, Failure
from finetune_contract.reasons import Reason
from finetune_operator.objects.raw import Body, Manifest
from finetune_operator.objects.times import parse_time, render_time

MAX_KEPT = 10
"""The newest ones of all attempts together: as many as the rules read."""

MAX_MESSAGE = 256

EVICTED = "Evicted"
"""The kubelet's reason if a pod, or its node, used too much."""

SILENT = timedelta(minutes=10)
"""A trainer that reports no steps may have taken some if it ran longer than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """One pod of an attempt that was ended from outside."""

    time: datetime
    reason: str
    """The reason from Kubernetes if it has one: `Evicted`, `PreemptionByScheduler` ..."""
    message: str = ""
    pod: str = ""
    """Empty if the complete Job was deleted."""
    node: str = ""
    start: datetime | None = None
    """When the pod started on its node."""
    step: int | None = None
    """The newest step that is known to be saved: that of a checkpoint, if there is one."""

    @property
    def limit(self) -> int:
        """After how many of them in a row without progress the job fails."""
        return 5 if self.reason == EVICTED else MAX_KEPT

    @property
    def words(self) -> str:
        return f"{self.reason}: {self.message}" if self.message else self.reason


def parse_interruptions(record: Body) -> tuple[Interruption, ...]:
    return tuple(
        Interruption(
            time=parse_time(found["time"]),
            reason=found.get("reason", ""),
            message=found.get("message", ""),
            pod=found.get("pod", ""),
            node=found.get("node", ""),
            start=parse_time(found["startTime"]) if "startTime" in found else None,
            step=found.get("step"),
        )
        for found in record.get("interruptions", ())
    )


def render_interruptions(interruptions: Sequence[Interruption]) -> list[Manifest]:
    records: list[Manifest] = [
        {
            "time": render_time(it.time),
            "reason": it.reason,
            "message": it.message[:MAX_MESSAGE] or None,
            "pod": it.pod or None,
            "node": it.node or None,
            "startTime": it.start and render_time(it.start),
            "step": it.step,
        }
        for it in interruptions
    ]
    return [{name: value for name, value in it.items() if value is not None} for it in records]


def count_in_vain(interruptions: Sequence[Interruption]) -> int:
    """How many at the end have the same reason, without a new step between them."""
    *earlier, newest = interruptions
    count = 1
    for before, after in zip(reversed(earlier), reversed(interruptions), strict=False):
        is_gained = (newest.step or 0) > (before.step or 0)
        if before.reason != newest.reason or is_gained or _may_have_gained(after):
            break
        count += 1
    return count


def judge_in_vain(interruptions: Sequence[Interruption]) -> Failure | None:
    """Why there is no further attempt, if one cause has ended too many without progress."""
    if not interruptions:
        return None
    newest, count = interruptions[-1], count_in_vain(interruptions)
    if count < newest.limit:
        return None
    category, remedy = _advice(newest)
    return Reason.INTERRUPTED_TOO_OFTEN.failure(
        f"interrupted {count} times in a row without completing a step, most recently by "
        f"{newest.words}",
        remedy,
        category=category,
    )


def _may_have_gained(interruption: Interruption) -> bool:
    """Whether a pod that reported no steps may have taken some, if it did not exceed its
    resources.
    """
    is_silent = interruption.step is None and interruption.reason != EVICTED
    return is_silent and _lasted(interruption) >= SILENT


def _lasted(interruption: Interruption) -> timedelta:
    return interruption.time - (interruption.start or interruption.time)


def _advice(newest: Interruption) -> tuple[Category, str]:
    """The category, and the change to make."""
    words = newest.message.lower()
    if newest.reason == EVICTED and any(it in words for it in ("storage", "emptydir", "disk")):
        return Category.USER, (
            "raise spec.resources.ephemeralStorage, or reduce disk usage with a lower "
            "save_total_limit or a smaller dataset"
        )
    if newest.reason == EVICTED and "memory" in words:
        return Category.USER, (
            "raise spec.resources.memory, so that the pod is scheduled to a node with enough memory"
        )
    if newest.reason in ("PreemptionByScheduler", "Preempting", "Preempted"):
        return Category.USER, (
            "give the job a higher priority (spec.podTemplate.spec.priorityClassName), or lower "
            "save_steps to save checkpoints more often"
        )
    if newest.reason == Reason.TRAINING_JOB_DELETED:
        return Category.PLATFORM, "find out who deletes Jobs in this namespace"
    return Category.PLATFORM, (
        "find out what stops the pods so early, or choose other nodes; lower save_steps to save "
        "a checkpoint before the interruption"
    )
