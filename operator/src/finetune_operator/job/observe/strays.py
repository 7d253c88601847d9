# SPDX-License-Identifier: Apache-2.0
"""Strays: children that the operator created and that no longer have an owner. No I/O here.

A restored backup has no owner references, and `kubectl delete --cascade=orphan` removes them. The
job of a stray is unknown, and another copy of that job may run. So strays are ended, and the job's
next attempt resumes from their checkpoint. The Jobs of a deleted job of the same name are deleted
by the garbage collector: the next attempt waits until they create no more pods.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from finetune_operator.job.observe.endings import has_ended, is_over
from finetune_operator.job.observe.pods import controller_uid
from finetune_operator.objects.names import LABEL_ATTEMPT, LABEL_JOB, LABEL_MANAGED_BY, OPERATOR
from finetune_operator.objects.raw import Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Strays:
    """The strays to end now."""

    training_jobs: tuple[Body, ...] = ()
    pods: tuple[Body, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.training_jobs or self.pods)


def is_stray(child: Body) -> bool:
    """Whether the operator created this object and nothing manages it."""
    return _is_ours(child) and controller_uid(child) is None


def find_strays(training_jobs: Iterable[Body], pods: Iterable[Body]) -> Strays:
    """Jobs, including ended ones, because their names are needed; and pods that may still run."""
    return Strays(
        training_jobs=tuple(it for it in training_jobs if is_stray(it) and not _is_going(it)),
        pods=tuple(it for it in pods if is_stray(it) and not _is_going(it) and not has_ended(it)),
    )


def names_of_others(training_jobs: Iterable[Body], owner: str) -> tuple[str, ...]:
    """Jobs that delay an attempt of this owner (a uid).

    Those without an owner must be deleted first. Those of a deleted job of the same name are left
    to the garbage collector; until they have ended or are being deleted, the Job controller may
    create their pods.
    """
    others = (it for it in training_jobs if is_stray(it) or _may_run_for_another(it, owner))
    return tuple(sorted(f"Job {it['metadata']['name']}" for it in others))


def _may_run_for_another(training_job: Body, owner: str) -> bool:
    is_done = is_over(training_job) or _is_going(training_job)
    return _is_ours(training_job) and controller_uid(training_job) != owner and not is_done


def _is_ours(child: Body) -> bool:
    labels = child["metadata"].get("labels") or {}
    is_child = LABEL_JOB in labels and LABEL_ATTEMPT in labels
    return labels.get(LABEL_MANAGED_BY) == OPERATOR and is_child


def _is_going(child: Body) -> bool:
    return "deletionTimestamp" in child["metadata"]
