# SPDX-License-Identifier: Apache-2.0
"""Judges whether, how and why an attempt has ended, from its pods, then from its Job. No I/O.

The trainer's own end decides. The attempt succeeded if every node's trainer exited with success, or
one of them left the outcome of a published artifact, regardless of other containers and of the Job.
The cause of a failure comes from the first available of these sources:

1. the outcome that names the failed rank, unless that rank only lost a peer (earliest of several);
2. of the other failed trainers the earliest: its outcome if it wrote one, else how its
   container ended. Times are in seconds; within one, a pod without an outcome goes first, because a
   killed trainer writes none, and one that lost a peer goes last. If all of them were only
   stopped, the sources below go first, because they contain the reason;
3. a pod that failed without a recorded end of its trainer (refused, init container, node lost);
4. the exit code that the Job's Failed condition quotes, when all pods are deleted;
5. the Job's Failed condition itself.

On a single node, pods that were lost to a disruption or stopped on request were replaced within the
attempt: they count only if there is no other.
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
from finetune_operator.job.observe.containers import has_anything_run, has_trainer_started
from finetune_operator.job.observe.endings import (
    Ending,
    find_ending,
    has_ended,
    is_kept,
    is_over,
    is_to_be_replaced,
    who_stopped,
)
from finetune_operator.job.observe.lost_pods import judge_lost_pod
from finetune_operator.objects.conditions import find, is_true
from finetune_operator.objects.raw import Body

# The Job controller's text: "Container trainer for pod ns/name failed with exit code 64 matching".
_QUOTED_EXIT_CODE = re.compile(r"failed with exit code (\d{1,9})")

_NOT_STARTED = frozenset({"StartError", "ContainerCannotRun"})
"""The container runtime's reasons if no process was started."""

MEMORY_REMEDY = (
    "raise spec.resources.memory, or reduce memory usage with a shorter max_length or smaller "
    "batches"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The cause that ended an attempt, with all information of its best source."""

    failure: Failure
    exit_code: int | None = None
    outcome: Outcome | None = None
    end: str = ""
    """When that source ended; empty if unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """The trainer ended with success; an outcome may be missing."""

    outcome: Outcome | None = None
    end: str = ""
    """When the last trainer ended; empty if unknown."""


def judge(training_job: Body, pods: Sequence[Body]) -> Succeeded | Verdict | None:
    """None while the attempt runs."""
    endings, found = _find_endings(pods), training_job.get("status", {}).get("conditions", ())
    if _has_succeeded(training_job, pods, endings):
        end = max((ending.end for ending in endings), default="")
        return Succeeded(outcome=find_outcome(pods), end=end)
    if is_true(found, "Complete"):
        # A valid outcome takes precedence over an exit code of 0.
        is_denied = endings and not any(ending.is_good for ending in endings)
        return judge_failure(training_job, pods) if is_denied else Succeeded()
    is_going = "deletionTimestamp" in training_job["metadata"]
    is_empty = is_going and pods and all(map(has_ended, pods))
    # As if all its containers had ended: the Job controller would end the other nodes immediately.
    is_held = any(is_kept(ending.pod) and not ending.is_good for ending in endings)
    if is_true(found, "Failed") or is_empty or is_held:
        return judge_failure(training_job, pods)
    return None


def _has_succeeded(training_job: Body, pods: Sequence[Body], endings: Sequence[Ending]) -> bool:
    good = [ending for ending in endings if ending.is_good]
    spec = training_job["spec"]
    is_whole = len({ending.index for ending in good}) >= spec.get("completions", 1)
    is_published = any(ending.outcome and ending.outcome.artifact for ending in good)
    if is_over(training_job) or "deletionTimestamp" in training_job["metadata"]:
        return bool(good) and (is_whole or is_published)
    # The Job controller counts a pod whose containers all succeeded.
    is_miscounted = any(ending.pod["status"].get("phase") != "Succeeded" for ending in good)
    is_still_training = any(
        has_trainer_started(pod) and not has_ended(pod) and find_ending(pod) is None for pod in pods
    )
    return is_miscounted and (is_whole or (is_published and not is_still_training))


def judge_failure(training_job: Body, pods: Sequence[Body]) -> Verdict:
    """The verdict on an attempt that has not succeeded."""
    failed = [ending for ending in _find_endings(pods) if not ending.is_good]
    if training_job["spec"].get("completionMode") != "Indexed":
        failed = [ending for ending in failed if not is_to_be_replaced(ending.pod)] or failed
    lost = [pod for pod in pods if _is_lost(pod)]
    if lost and all(ending.was_asked_to_stop for ending in failed):
        return Verdict(failure=judge_lost_pod(_first_cause(lost)))
    if failed:
        first = min(failed, key=lambda ending: ending.order)
        return replace(_judge_ending(first), end=first.end)
    return _judge_training_job(training_job)


def _find_endings(pods: Sequence[Body]) -> list[Ending]:
    return [ending for ending in map(find_ending, pods) if ending is not None]


def _is_lost(pod: Body) -> bool:
    """Whether it failed for another reason than its trainer's exit."""
    ending = find_ending(pod)
    is_failed = pod.get("status", {}).get("phase") == "Failed"
    return is_failed and (ending is None or ending.is_good or not has_anything_run(pod))


def _first_cause(lost: Sequence[Body]) -> Body:
    """One that was not stopped from outside, if there is one: the others may have been stopped for
    it.
    """
    return min(lost, key=lambda pod: (who_stopped(pod) is not None, pod["metadata"]["name"]))


def find_outcome(pods: Sequence[Body]) -> Outcome | None:
    """The report of a succeeded attempt: the outcome with an artifact, else any."""
    outcomes = [
        ending.outcome
        for ending in _find_endings(pods)
        if ending.outcome is not None and ending.is_good
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
            f"the pod was stopped before it finished saving: {stopped}",
            "raise spec.terminationGracePeriodSeconds if this happens again",
        )
        return Verdict(failure=failure, exit_code=exit_code)
    status = ending.pod["status"]
    if status.get("reason"):
        # Not the container's own end: the kubelet ended the complete pod (a deadline, an eviction).
        told = status.get("message") or f"the pod failed: {status['reason']}"
        failure = Reason.POD_FAILED.failure(told, category=Category.INFRASTRUCTURE)
        return Verdict(failure=failure.with_reason(status["reason"]), exit_code=exit_code)
    # Without an outcome the kubelet fills in the last log lines (FallbackToLogsOnError).
    words = (ending.terminated.get("message") or "").strip()
    if ending.terminated.get("reason") in _NOT_STARTED:
        failure = Reason.CONTAINER_START_FAILED.failure(
            f"the trainer's container could not be started: {words}",
            "check spec.image and the container runtime of the node",
        )
        return Verdict(failure=failure, exit_code=exit_code)
    return Verdict(failure=_failure_of_exit_code(exit_code, words), exit_code=exit_code)


def _judge_training_job(training_job: Body) -> Verdict:
    conditions = training_job.get("status", {}).get("conditions", ())
    failed = find(conditions, "Failed") or {}
    words = failed.get("message") or "the Job failed"
    if quoted := _QUOTED_EXIT_CODE.search(words):
        exit_code = int(quoted.group(1))
        return Verdict(failure=_failure_of_exit_code(exit_code, ""), exit_code=exit_code)
    failure = Reason.TRAINING_JOB_FAILED.failure(words)
    return Verdict(failure=failure.with_reason(failed.get("reason")))


def _failure_of_exit_code(exit_code: int, words: str) -> Failure:
    told = f": {words}" if words else ""
    return Reason.EXITED_WITHOUT_OUTCOME.failure(
        f"the trainer ended with exit code {exit_code} and wrote no outcome{told}",
        # An exit code of 0 means success and never gets here.
        category=category_of_exit_code(exit_code) or Category.INTERNAL,
    )
