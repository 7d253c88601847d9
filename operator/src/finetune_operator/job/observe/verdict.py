# SPDX-License-Identifier: Apache-2.0
"""Why an attempt did not succeed: from its pods' last words and its Job's condition. No I/O here.

Precedence, from the best witness to the poorest:

1. an outcome that names the rank that failed, unless that only lost a peer (earliest of several);
2. of the other pods that ended badly the earliest: its outcome where it left one, else how its
   container ended. Times are in seconds; within one, a pod without an outcome goes first, since a
   killed trainer says nothing, and one that lost a peer goes last;
3. a pod that failed before its container could end (evicted, its node lost);
4. the exit code that the Job's Failed condition quotes, when all pods are gone;
5. the Job's Failed condition itself.

On a single node, pods that a disruption took, or that were asked to stop and did, were replaced
within the attempt: they are heard only where there is no other.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from finetune_contract.outcome import (
    Category,
    Failure,
    Outcome,
    category_of_exit_code,
)
from finetune_contract.reasons import Reason
from finetune_operator.job.observe.endings import (
    Ending,
    find_ending,
    is_to_be_replaced,
    who_stopped,
)
from finetune_operator.objects.conditions import find
from finetune_operator.objects.raw import Body

# The Job controller's words: "Container trainer for pod ns/name failed with exit code 64 matching".
_QUOTED_EXIT_CODE = re.compile(r"failed with exit code (\d{1,9})")

MEMORY_REMEDY = (
    "raise spec.resources.memory, or let the job need less: shorter max_length, smaller batches"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What ended an attempt, and all that its best witness said."""

    failure: Failure
    exit_code: int | None = None
    outcome: Outcome | None = None


def judge_failure(training_job: Body, pods: Sequence[Body]) -> Verdict:
    """The verdict on an attempt whose Job has failed."""
    endings = [ending for ending in map(find_ending, pods) if ending is not None]
    failed = [ending for ending in endings if ending.exit_code != 0]
    if training_job["spec"].get("completionMode") != "Indexed":
        failed = [ending for ending in failed if not is_to_be_replaced(ending.pod)] or failed
    if failed:
        return _judge_ending(min(failed, key=lambda ending: ending.order))
    if lost := [pod for pod in pods if pod.get("status", {}).get("phase") == "Failed"]:
        return _judge_lost_pod(lost[0])
    return _judge_training_job(training_job)


def find_outcome(pods: Sequence[Body]) -> Outcome | None:
    """What a succeeded attempt reported: the outcome with an artifact, else any."""
    outcomes = [
        ending.outcome
        for ending in map(find_ending, pods)
        if ending is not None and ending.outcome is not None and ending.exit_code == 0
    ]
    with_artifact = [outcome for outcome in outcomes if outcome.artifact is not None]
    return next(iter(with_artifact + outcomes), None)


def _judge_ending(ending: Ending) -> Verdict:
    outcome, exit_code = ending.outcome, ending.exit_code
    if outcome is not None and outcome.failure is not None:
        return Verdict(failure=outcome.failure, exit_code=exit_code, outcome=outcome)
    if ending.terminated.get("reason") == "OOMKilled":
        failure = Reason.HOST_OUT_OF_MEMORY.failure(
            "the trainer was killed because the pod used more memory than its limit", MEMORY_REMEDY
        )
        return Verdict(failure=failure, exit_code=exit_code)
    if stopped := who_stopped(ending.pod):
        failure = Reason.POD_STOPPED.failure(
            f"the pod was stopped and could not finish saving: {stopped}",
            "raise spec.terminationGracePeriodSeconds if this happens again",
        )
        return Verdict(failure=failure, exit_code=exit_code)
    # Without an outcome the kubelet puts the log's last lines there (FallbackToLogsOnError).
    words = (ending.terminated.get("message") or "").strip()
    return Verdict(failure=_failure_of_exit_code(exit_code, words), exit_code=exit_code)


def _judge_lost_pod(pod: Body) -> Verdict:
    status, stopped = pod["status"], who_stopped(pod)
    words = status.get("message") or stopped or "the pod failed and left no word"
    category = Category.INTERRUPTION if stopped else Category.INFRASTRUCTURE
    failure = Reason.POD_FAILED.failure(words, category=category)
    return Verdict(failure=_with_reason_of_kubernetes(failure, status))


def _judge_training_job(training_job: Body) -> Verdict:
    conditions = training_job.get("status", {}).get("conditions", ())
    failed = find(conditions, "Failed") or {}
    words = failed.get("message") or "the Job failed"
    if quoted := _QUOTED_EXIT_CODE.search(words):
        exit_code = int(quoted.group(1))
        return Verdict(failure=_failure_of_exit_code(exit_code, ""), exit_code=exit_code)
    failure = Reason.TRAINING_JOB_FAILED.failure(words)
    return Verdict(failure=_with_reason_of_kubernetes(failure, failed))


def _with_reason_of_kubernetes(failure: Failure, source: Body) -> Failure:
    """With the kubelet's or the Job controller's own reason, such as `Evicted`, if it has one."""
    return replace(failure, reason=source.get("reason") or failure.reason)


def _failure_of_exit_code(exit_code: int, words: str) -> Failure:
    told = f": {words}" if words else ""
    return Reason.EXITED_WITHOUT_OUTCOME.failure(
        f"the trainer ended with exit code {exit_code} and left no outcome{told}",
        # An exit code of 0 stands for success and never gets here.
        category=category_of_exit_code(exit_code) or Category.INTERNAL,
    )
