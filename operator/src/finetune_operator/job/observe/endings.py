# SPDX-License-Identifier: Apache-2.0
"""How a pod is read: whether and how its trainer ended, and who stopped it. No I/O here.

The one reader of a pod's container states; what they mean for the attempt is `verdict`'s.
"""

from dataclasses import dataclass

from finetune_contract.documents import InvalidDocument
from finetune_contract.outcome import ExitCode, Outcome
from finetune_contract.reasons import Reason
from finetune_operator.objects.conditions import find, is_true
from finetune_operator.objects.names import CONTAINER
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
    def order(self) -> tuple[bool, str, bool, bool, str]:
        """The smallest is heard."""
        failure = self.outcome.failure if self.outcome else None
        is_echo = failure is not None and failure.reason == Reason.PEER_LOST
        names_culprit = failure is not None and failure.rank is not None and not is_echo
        return (
            not names_culprit,
            self.terminated.get("finishedAt") or "",
            self.outcome is not None,
            is_echo,
            self.pod["metadata"]["name"],
        )


def has_ended(pod: Body) -> bool:
    """Whether nothing runs in this pod any more."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def is_to_be_replaced(pod: Body) -> bool:
    """Whether this pod has ended in a way that a single node's Job does not count as a failure:
    as its podFailurePolicy has it."""
    if pod.get("status", {}).get("phase") != "Failed":
        return False
    ending = find_ending(pod)
    is_interrupted = ending is not None and ending.exit_code == ExitCode.INTERRUPTED
    return is_interrupted or find_disruption(pod) is not None


def is_over(training_job: Body) -> bool:
    """Whether a Job has ended, and has no more pods."""
    found = training_job.get("status", {}).get("conditions", ())
    return is_true(found, "Complete") or is_true(found, "Failed")


def find_ending(pod: Body) -> Ending | None:
    for status in pod.get("status", {}).get("containerStatuses", ()):
        terminated = status.get("state", {}).get("terminated")
        if status.get("name") == CONTAINER and terminated is not None:
            outcome = _read_outcome(terminated.get("message") or "")
            return Ending(pod=pod, terminated=terminated, outcome=outcome)
    return None


def _read_outcome(message: str) -> Outcome | None:
    try:
        return Outcome.from_json(message)
    except InvalidDocument:
        return None


def who_stopped(pod: Body) -> str | None:
    """What stopped this pod from outside, or None where nobody did."""
    if disruption := find_disruption(pod):
        return disruption.get("message") or disruption.get("reason") or "it was disrupted"
    return "it was deleted" if "deletionTimestamp" in pod["metadata"] else None


def find_disruption(pod: Body) -> Body | None:
    conditions = pod.get("status", {}).get("conditions", ())
    disruption = find(conditions, "DisruptionTarget")
    return disruption if disruption and disruption.get("status") == "True" else None
