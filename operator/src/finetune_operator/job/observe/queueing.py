# SPDX-License-Identifier: Apache-2.0
"""Why Kueue holds back a Job: its Workload's conditions in one sentence. No I/O here."""

from collections.abc import Iterable
from dataclasses import dataclass

from finetune_operator.objects import conditions
from finetune_operator.objects.names import LABEL_QUEUE, JobReason
from finetune_operator.objects.raw import Body


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueWords:
    """Why a Job waits."""

    reason: str
    message: str
    is_known: bool
    """Whether Kueue has set a condition."""


NO_WORDS = QueueWords(
    reason=JobReason.QUEUED,
    message="the Job is suspended: it is waiting in a queue",
    is_known=False,
)
"""Before Kueue has set a condition, and if something else has suspended the Job."""


def find_queue(training_job: Body | None) -> str:
    """The LocalQueue of a Job; without one, Kueue itself uses a queue named `default`."""
    labels = training_job["metadata"].get("labels", {}) if training_job is not None else {}
    queue: str = labels.get(LABEL_QUEUE, "")
    return queue


def find_queue_words(workload: Body | None) -> QueueWords:
    """The Workload's own messages, with the current obstacle before the previous ones."""
    if workload is None:
        return NO_WORDS
    status = workload.get("status", {})
    found = status.get("conditions", ())
    evicted = _message(found, "Evicted", "True")
    waits = _what_is_waited_for(workload)
    words = [f"evicted: {evicted}" if evicted else "", waits if waits != evicted else ""]
    if not any(words):
        return NO_WORDS
    return QueueWords(
        reason=JobReason.PREEMPTED if conditions.is_true(found, "Preempted") else JobReason.QUEUED,
        message="; ".join(word for word in words if word),
        is_known=True,
    )


def _what_is_waited_for(workload: Body) -> str:
    """The obstacle: deactivation first, then quota, then admission checks."""
    if workload["spec"].get("active") is False:
        return f"Workload {workload['metadata']['name']} was deactivated: its spec.active is false"
    status = workload.get("status", {})
    found = status.get("conditions", ())
    if not conditions.is_true(found, "QuotaReserved"):
        return _message(found, "QuotaReserved", "False")
    checks = [
        f"{check['name']} ({check.get('message') or check['state']})"
        for check in status.get("admissionChecks", ())
        if check["state"] != "Ready"
    ]
    if checks:
        return f"its quota is reserved; admission checks are not ready: {', '.join(checks)}"
    return _message(found, "Admitted", "False")


def _message(found: Iterable[Body], type_: str, status: str) -> str:
    condition = conditions.find(list(found), type_)
    if condition is None or condition["status"] != status:
        return ""
    message: str = condition.get("message", "")
    return message
