# SPDX-License-Identifier: Apache-2.0
"""decide: returns the next action for a job. The tuple `RULES` is the precedence. No I/O here.

A new behaviour is one rule, one entry, one test table.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from finetune_contract.outcome import Category
from finetune_contract.progress import TrainerPhase
from finetune_contract.reasons import Reason
from finetune_operator.job.attempts import (
    Result,
    count_failed,
    next_start,
)
from finetune_operator.job.decide.adjustments import adjustments_for_next, ran_out_of_memory
from finetune_operator.job.decide.giving_up import (
    when_interrupted_in_vain,
    when_refused_for_too_long,
    when_time_is_up,
)
from finetune_operator.job.decide.next_step import Decision, joined
from finetune_operator.job.decide.release import release_time
from finetune_operator.job.decide.stops import (
    find_next_stop,
    find_stop,
)
from finetune_operator.job.observe.observation import Observed
from finetune_operator.job.observe.waiting import WaitsOn
from finetune_operator.job.spec import FineTuneJob
from finetune_operator.objects.conditions import tell_all
from finetune_operator.objects.names import JobReason, Phase
from finetune_operator.objects.times import render_time

NEVER_RETRIED = frozenset({Category.USER, Category.PLATFORM, Category.OUT_OF_MEMORY})
"""A retry without changes would fail again; out of memory is retried with `adjustments`."""

FINISHED = frozenset({Phase.SUCCEEDED, Phase.FAILED})

UNEXPLAINED = Reason.UNEXPLAINED.failure("the attempt failed without a recorded cause")
"""For an attempt whose record was edited by hand: it counts, or it would be retried forever."""

LOOK_AT_QUEUE = timedelta(seconds=30)
FIRST_LOOK_AT_QUEUE = timedelta(seconds=3)
"""Until Kueue has set a condition for a new Job."""

REPAIR = timedelta(seconds=20)
"""How long pods may take to start before the objects they need are checked."""

LONGEST_REPAIR_PERIOD = timedelta(minutes=5)


def decide(job: FineTuneJob, observed: Observed, now: datetime) -> Decision:
    """The first rule that applies; evaluated again when a deadline passes."""
    found = (decision for rule in RULES if (decision := rule(job, observed, now)) is not None)
    decision = next(found)
    if decision.phase in FINISHED or decision.check_again_in == timedelta():
        return decision
    return _not_later(
        _with_release(decision, observed, now), find_next_stop(job, observed, now), now
    )


def _with_release(decision: Decision, observed: Observed, now: datetime) -> Decision:
    """Adds the deletion of the Job of an ended attempt whose pods still hold GPUs."""
    if observed.held is None or decision.job_to_delete is not None:
        return decision
    if now < (due := release_time(observed.held)):
        return _not_later(decision, due, now)
    return replace(decision, job_to_delete=observed.held.job_name)


def _not_later(decision: Decision, due: datetime | None, now: datetime) -> Decision:
    if due is None:
        return decision
    wait = due - now
    return replace(decision, check_again_in=min(decision.check_again_in or wait, wait))


def when_attempt_is_stopping(
    job: FineTuneJob, observed: Observed, now: datetime
) -> Decision | None:
    running = observed.running
    if running is None or not running.is_stopping or running.failure is None:
        return None
    saving = (
        f"attempt {running.number} is saving a checkpoint and exiting: {running.failure.message}"
    )
    return Decision(
        phase=_phase_of_running(job, observed),
        reason=running.failure.reason,
        message=_with_silence(saving, observed),
        job_to_delete=None if observed.is_going else running.name,
    )


def when_attempt_is_to_stop(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    running = observed.running
    if running is None or (stop := find_stop(job, observed, now)) is None:
        return None
    return Decision(
        phase=_phase_of_running(job, observed),
        reason=stop.reason,
        message=f"stopping attempt {running.number} after a checkpoint: {stop.message}",
        stop=stop,
        check_again_in=timedelta(),
    )


def when_rejected(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    """A running attempt continues with the spec it was started for, and can be suspended or end."""
    if not job.is_rejected:
        return None
    return Decision(
        phase=_phase_of_running(job, observed) if observed.running else Phase.PENDING,
        reason=JobReason.INVALID_SPEC,
        message=tell_all(job.mistakes),
    )


def when_succeeded(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    newest = observed.newest
    if newest is None or newest.result is not Result.SUCCEEDED:
        return None
    note = observed.outcome.note if observed.outcome is not None else ""
    return Decision(
        phase=Phase.SUCCEEDED,
        reason=JobReason.SUCCEEDED,
        message=joined(
            f"attempt {newest.number} finished the run{note and f': {note}'}", observed.companions
        ),
    )


def when_failed_for_good(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    newest = observed.newest
    if newest is None or newest.result is not Result.FAILED:
        return None
    failure = newest.failure or UNEXPLAINED
    failed, is_final = count_failed(observed.attempts), failure.category in NEVER_RETRIED
    if not is_final and failed < job.max_attempts:
        return None
    if ran_out_of_memory(newest) and adjustments_for_next(job, observed.attempts) is not None:
        return None
    tried = "" if is_final else f" ({failed} attempts failed)"
    remedy = f". Remedy: {failure.remedy}" if failure.remedy else ""
    return Decision(
        phase=Phase.FAILED,
        reason=failure.reason,
        message=joined(f"{failure.message}{tried}{remedy}", observed.companions),
        failure=failure,
    )


def when_suspended(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    if not job.is_suspended:
        return None
    step = observed.last.last_step if observed.last is not None else None
    kept = f"; {step} steps were taken" if step else ""
    return Decision(
        phase=Phase.SUSPENDED,
        reason=Reason.SUSPENDED,
        message=f"spec.suspend is true{kept}",
    )


def when_retry_is_not_due(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    newest, start = observed.newest, next_start(observed.attempts)
    if newest is None or start is None or start <= now:
        return None
    failure = newest.failure or UNEXPLAINED
    ended = "was interrupted" if newest.result is Result.INTERRUPTED else "failed"
    if newest.never_started:
        ended = "did not start"
    return Decision(
        phase=Phase.RETRYING,
        reason=failure.reason,
        message=joined(
            f"attempt {newest.number} {ended} ({failure.message}); "
            f"attempt {newest.number + 1} starts at {render_time(start)}",
            observed.companions,
        ),
        check_again_in=start - now,
    )


def when_old_pods_linger(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    """Two trainers at a time would write checkpoints of the same run."""
    if not observed.lingering_pods or observed.running is not None:
        return None
    waiting = joined(
        "waiting for earlier pods to save a checkpoint and exit: "
        f"{', '.join(observed.lingering_pods)}",
        observed.companions,
    )
    return Decision(
        phase=Phase.PENDING if observed.newest is None else Phase.RETRYING,
        reason=JobReason.NODE_NOT_READY if observed.silent_nodes else JobReason.WAITING,
        message=_with_silence(waiting, observed),
    )


def when_old_job_goes_on(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    """The Job controller may replace an interrupted pod of the old Job while a new one runs."""
    if observed.held is None or observed.running is not None:
        return None
    return Decision(
        phase=Phase.RETRYING,
        reason=JobReason.WAITING,
        message=f"waiting for Job {observed.held.job_name} to end",
    )


def when_open_parts_are_wrong(
    job: FineTuneJob, observed: Observed, now: datetime
) -> Decision | None:
    """Problems in parts changed after acceptance; a running attempt continues without them."""
    if observed.running is not None or not job.mistakes:
        return None
    return Decision(
        phase=Phase.PENDING if observed.newest is None else Phase.RETRYING,
        reason=JobReason.INVALID_SPEC,
        message=f"no attempt is started: {'; '.join(job.mistakes)}",
    )


def when_attempt_is_due(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    if observed.running is not None:
        return None
    return Decision(
        phase=Phase.STARTING,
        # The value that the next pass will see, so that it has nothing to write.
        reason=JobReason.PODS_NOT_RUNNING,
        message=_count_pods(0, job),
        attempt_to_start=1 if observed.last is None else observed.last.number + 1,
        adjustments=adjustments_for_next(job, observed.attempts) or {},
    )


def when_queued(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    if not observed.is_suspended:
        return None
    words = observed.queue_words
    return Decision(
        phase=Phase.QUEUED,
        reason=words.reason,
        message=words.message,
        # Admission is visible on the Job; the reason for waiting must be requested.
        check_again_in=LOOK_AT_QUEUE if words.is_known else FIRST_LOOK_AT_QUEUE,
    )


def when_pods_do_not_run(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    if observed.started_pods >= job.resources.nodes:
        return None
    since = observed.waiting_since
    is_long = since is not None and now >= since + REPAIR
    may_lack_ours = observed.waits_on is WaitsOn.MISSING_VOLUME
    return Decision(
        phase=Phase.STARTING,
        reason=JobReason.PODS_NOT_RUNNING,
        message=observed.waiting_for or _tell_standing(job, observed, is_long),
        # A Service or ConfigMap that was deleted by hand: no pod starts without it.
        is_repaired=is_long and (not observed.waiting_for or may_lack_ours),
        # In growing intervals: thousands of jobs may wait for hours.
        check_again_in=(
            None if since is None else min(max(REPAIR, now - since), LONGEST_REPAIR_PERIOD)
        ),
    )


def when_node_is_silent(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    """Only the node can end its pod, or a user who has confirmed that the node is off."""
    if not observed.silent_nodes:
        return None
    return Decision(
        phase=Phase.RUNNING, reason=JobReason.NODE_NOT_READY, message=_with_silence("", observed)
    )


def when_publishing(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    if observed.trainer_phase not in (TrainerPhase.VERIFYING, TrainerPhase.PUBLISHING):
        return None
    return Decision(
        phase=Phase.PUBLISHING,
        reason=JobReason.PUBLISHING,
        message="training is complete; the artifact is being verified and uploaded",
    )


def when_training(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    if observed.trainer_phase is not TrainerPhase.TRAINING:
        return None
    return Decision(
        phase=Phase.RUNNING, reason=JobReason.TRAINING, message="the trainer is training"
    )


def when_preparing(job: FineTuneJob, observed: Observed, now: datetime) -> Decision:
    doing = {
        None: "the pods are running; the trainer has not reported yet",
        TrainerPhase.FETCHING: "the trainer is fetching the model and data",
        TrainerPhase.CHECKING: "the trainer is checking the model and data",
    }
    return Decision(
        phase=Phase.STARTING,
        reason=JobReason.PREPARING,
        message=doing.get(observed.trainer_phase, "the trainer is preparing"),
    )


def _phase_of_running(job: FineTuneJob, observed: Observed) -> Phase:
    """The phase of an attempt that is about to end."""
    if observed.is_suspended:
        return Phase.QUEUED
    return Phase.RUNNING if observed.started_pods >= job.resources.nodes else Phase.STARTING


def _with_silence(message: str, observed: Observed) -> str:
    """Adds the nodes that do not respond, and the remedy, if there are any."""
    if not observed.silent_nodes:
        return message
    advice = (
        "the job continues when the node is back; if it does not come back, delete its Node object"
    )
    told = f"{observed.silent_nodes}; {advice}"
    return f"{message}; {told}" if message else told


def _tell_standing(job: FineTuneJob, observed: Observed, is_long: bool) -> str:
    """The progress of starting pods is only shown if they take long."""
    last = observed.running.interruptions[-1:] if observed.running is not None else ()
    interrupted = "; ".join(f"pod {it.pod} was interrupted by {it.words}" for it in last)
    counted = joined(_count_pods(observed.started_pods, job), interrupted)
    return joined(counted, observed.standing if is_long else "")


def _count_pods(started: int, job: FineTuneJob) -> str:
    return f"{started} of {job.resources.nodes} pods are running"


RULES = (
    when_attempt_is_stopping,
    when_attempt_is_to_stop,
    when_rejected,
    when_succeeded,
    when_failed_for_good,
    when_interrupted_in_vain,
    when_refused_for_too_long,
    when_time_is_up,
    when_suspended,
    when_retry_is_not_due,
    when_old_pods_linger,
    when_old_job_goes_on,
    when_open_parts_are_wrong,
    when_attempt_is_due,
    when_queued,
    when_pods_do_not_run,
    when_node_is_silent,
    when_publishing,
    when_training,
    when_preparing,
)
