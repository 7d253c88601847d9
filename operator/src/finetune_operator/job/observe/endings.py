# SPDX-License-Identifier: Apache-2.0
"""Reads a pod: whether and how its trainer ended, and who stopped it. No I/O here.

`verdict` draws the conclusions for the attempt.
"""

from dataclasses import dataclass

from finetune_contract.documents import InvalidDocument
from finetune_contract.outcome import Category, ExitCode, Outcome
from finetune_contract.reasons import Reason
from finetune_operator.job.observe.containers import companions_of, read_containers
from finetune_operator.objects.conditions import find, is_true
from finetune_operator.objects.names import ANNOTATION_INDEX
from finetune_operator.objects.raw import Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one pod ended."""

    pod: Body
    terminated: Body
    outcome: Outcome | None

    @property
    def exit_code(self) -> int:
        exit_code: int = self.terminated["exitCode"]
        return exit_code

    @property
    def is_good(self) -> bool:
        """A valid outcome decides, whatever happened after it; else the exit code does."""
        return self.exit_code == 0 if self.outcome is None else self.outcome.failure is None

    @property
    def end(self) -> str:
        """When it ended; empty if the kubelet does not report it."""
        return str(self.terminated.get("finishedAt") or "")

    @property
    def index(self) -> str:
        """The index of its node among several; empty for a single one."""
        metadata = self.pod["metadata"]
        named = metadata.get("annotations", {}).get(ANNOTATION_INDEX)
        return str(named or metadata["name"])

    @property
    def was_asked_to_stop(self) -> bool:
        """Whether it ended only because it was stopped from outside."""
        failure = self.outcome.failure if self.outcome else None
        if failure is not None:
            return failure.category is Category.INTERRUPTION
        return self.exit_code == ExitCode.INTERRUPTED or who_stopped(self.pod) is not None

    @property
    def order(self) -> tuple[bool, str, bool, bool, str]:
        """The ending with the smallest order decides."""
        failure = self.outcome.failure if self.outcome else None
        is_echo = failure is not None and failure.reason == Reason.PEER_LOST
        names_culprit = failure is not None and failure.rank is not None and not is_echo
        return (
            not names_culprit,
            self.end,
            self.outcome is not None,
            is_echo,
            self.pod["metadata"]["name"],
        )


def has_ended(pod: Body) -> bool:
    """Whether nothing runs in this pod any more."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def is_done_with(pod: Body) -> bool:
    """Whether its kubelet has released everything of this pod that another with its name may get.

    A deleted pod first ends and is removed later. In between, the kubelet would give another pod of
    this name its cached copy of an immutable ConfigMap. The kubelet's last request is a deletion
    without grace period; a pod that exists after that waits for a finalizer.
    """
    metadata = pod["metadata"]
    is_gone = metadata.get("deletionGracePeriodSeconds") == 0
    return has_ended(pod) and ("deletionTimestamp" not in metadata or is_gone)


def is_to_be_replaced(pod: Body) -> bool:
    """Whether this pod has ended in a way that a single node's Job does not count as a failure,
    according to its podFailurePolicy.
    """
    if pod.get("status", {}).get("phase") != "Failed":
        return False
    ending = find_ending(pod)
    is_interrupted = ending is not None and ending.exit_code == ExitCode.INTERRUPTED
    return is_interrupted or find_disruption(pod) is not None


def is_over(training_job: Body) -> bool:
    """Whether a Job has ended and has no more pods."""
    found = training_job.get("status", {}).get("conditions", ())
    return is_true(found, "Complete") or is_true(found, "Failed")


def is_kept(pod: Body) -> bool:
    """Whether other containers keep this pod, whose trainer has ended, and it is not being deleted.
    Without other containers, the kubelet reports the pod's end within a moment.
    """
    if has_ended(pod) or "deletionTimestamp" in pod["metadata"]:
        return False
    return any(it.terminated is None for it in companions_of(read_containers(pod)))


def find_ending(pod: Body) -> Ending | None:
    """How the trainer of this pod ended; None if it has not, or if it is unknown."""
    trainer = next((found for found in read_containers(pod) if found.is_trainer), None)
    if trainer is None or trainer.terminated is None or not trainer.has_run:
        return None
    outcome = _read_outcome(trainer.terminated.get("message") or "")
    return Ending(pod=pod, terminated=trainer.terminated, outcome=outcome)


def _read_outcome(message: str) -> Outcome | None:
    try:
        return Outcome.from_json(message)
    except InvalidDocument:
        return None


def who_stopped(pod: Body) -> str | None:
    """The cause that stopped this pod from outside, or None."""
    if disruption := find_disruption(pod):
        return disruption.get("message") or disruption.get("reason") or "it was disrupted"
    return "it was deleted" if "deletionTimestamp" in pod["metadata"] else None


def find_disruption(pod: Body) -> Body | None:
    conditions = pod.get("status", {}).get("conditions", ())
    disruption = find(conditions, "DisruptionTarget")
    return disruption if disruption and disruption.get("status") == "True" else None
