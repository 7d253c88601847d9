# SPDX-License-Identifier: Apache-2.0
"""decide: what to do next about a job. The tuple `RULES` is the precedence. No I/O here.

A new behaviour is one rule, one entry, one test table.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from finetune_contract.outcome import Blame
from finetune_contract.progress import TrainerPhase
from finetune_operator.attempts import Result, count_failed, next_start
from finetune_operator.naming import Phase, Reason
from finetune_operator.observation import Observed
from finetune_operator.spec import FineTuneJob
from finetune_operator.timestamps import render_time

NEVER_RETRIED = frozenset({Blame.USER, Blame.OUT_OF_MEMORY})
"""The same again would fail again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a job is said to be doing, and what is done about it."""

    phase: Phase
    reason: str
    message: str
    attempt_to_start: int | None = None
    check_again_in: timedelta | None = None
    """When something is due that no event will tell of."""


def decide(job: FineTuneJob, observed: Observed, now: datetime) -> Decision:
    """The first rule that has something to say."""
    for rule in RULES:
        decision = rule(job, observed, now)
        if decision is not None:
            return decision
    raise AssertionError("the last rule always decides")


def when_not_yet_accepted(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    """First the status says so, which locks the spec; only then anything is created from it."""
    if observed.is_accepted:
        return None
    return Decision(
        phase=Phase.PENDING,
        reason=Reason.SPEC_ACCEPTED,
        message="the spec is valid",
        check_again_in=timedelta(),
    )


def when_succeeded(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    newest = observed.newest
    if newest is None or newest.result is not Result.SUCCEEDED:
        return None
    return Decision(
        phase=Phase.SUCCEEDED,
        reason=Reason.SUCCEEDED,
        message=f"attempt {newest.number} finished the run",
    )


def when_failed_for_good(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    newest = observed.newest
    if newest is None or newest.result is not Result.FAILED or newest.failure is None:
        return None
    failed = count_failed(observed.attempts)
    if newest.failure.blame not in NEVER_RETRIED and failed < job.max_attempts:
        return None
    tried = "" if newest.failure.blame in NEVER_RETRIED else f" ({failed} attempts failed)"
    remedy = f". Remedy: {newest.failure.remedy}" if newest.failure.remedy else ""
    return Decision(
        phase=Phase.FAILED,
        reason=newest.failure.reason,
        message=f"{newest.failure.message}{tried}{remedy}",
    )


def when_retry_is_not_due(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    newest, start = observed.newest, next_start(observed.attempts)
    if newest is None or newest.failure is None or start is None or start <= now:
        return None
    ended = "was interrupted" if newest.result is Result.INTERRUPTED else "failed"
    return Decision(
        phase=Phase.RETRYING,
        reason=newest.failure.reason,
        message=(
            f"attempt {newest.number} {ended} ({newest.failure.message}); "
            f"attempt {newest.number + 1} starts at {render_time(start)}"
        ),
        check_again_in=start - now,
    )


def when_old_pods_linger(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    """Two trainers at a time would write checkpoints of the same run."""
    newest = observed.newest
    if not observed.lingering_pods or (newest is not None and newest.end is None):
        return None
    return Decision(
        phase=Phase.PENDING if newest is None else Phase.RETRYING,
        reason=Reason.WAITING,
        message=f"waiting for earlier pods to save and end: {', '.join(observed.lingering_pods)}",
    )


def when_attempt_is_due(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    newest = observed.newest
    if newest is not None and newest.end is None:
        return None
    return Decision(
        phase=Phase.STARTING,
        # What the next pass will see: so that it has nothing to write.
        reason=Reason.PODS_NOT_RUNNING,
        message=_count_pods(0, job),
        attempt_to_start=1 if newest is None else newest.number + 1,
    )


def when_suspended(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    if not observed.is_suspended:
        return None
    return Decision(
        phase=Phase.PENDING,
        reason=Reason.WAITING,
        message="the Job is suspended: it waits for its turn in a queue",
    )


def when_pods_do_not_run(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    if observed.started_pods >= job.resources.nodes:
        return None
    return Decision(
        phase=Phase.STARTING,
        reason=Reason.PODS_NOT_RUNNING,
        message=observed.waiting_for or _count_pods(observed.started_pods, job),
    )


def when_publishing(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    if observed.trainer_phase not in (TrainerPhase.VERIFYING, TrainerPhase.PUBLISHING):
        return None
    return Decision(
        phase=Phase.PUBLISHING,
        reason=Reason.PUBLISHING,
        message="the training is done; its artifact is verified and uploaded",
    )


def when_training(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    if observed.trainer_phase is not TrainerPhase.TRAINING:
        return None
    return Decision(phase=Phase.RUNNING, reason=Reason.TRAINING, message="the trainer is training")


def when_preparing(job: FineTuneJob, observed: Observed, now: datetime) -> Decision:
    doing = {
        None: "the pods run; the trainer has not reported yet",
        TrainerPhase.FETCHING: "the trainer fetches model and data",
        TrainerPhase.CHECKING: "the trainer checks model and data",
    }
    return Decision(
        phase=Phase.STARTING,
        reason=Reason.PREPARING,
        message=doing.get(observed.trainer_phase, "the trainer prepares"),
    )


def _count_pods(started: int, job: FineTuneJob) -> str:
    return f"{started} of {job.resources.nodes} pods run"


RULES = (
    when_not_yet_accepted,
    when_succeeded,
    when_failed_for_good,
    when_retry_is_not_due,
    when_old_pods_linger,
    when_attempt_is_due,
    when_suspended,
    when_pods_do_not_run,
    when_publishing,
    when_training,
    when_preparing,
)
