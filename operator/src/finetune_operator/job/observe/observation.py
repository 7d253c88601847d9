# SPDX-License-Identifier: Apache-2.0
"""observe: reads the state of a job from its children and its status. No I/O here.

This is the last place that reads raw children, together with `attempt_end`, which ends attempts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from finetune_contract.documents import InvalidDocument, parse_object
from finetune_contract.outcome import Outcome
from finetune_contract.progress import TrainerPhase
from finetune_operator.job.attempts import Attempt, began_at, parse_attempts, refused_since
from finetune_operator.job.definitions import is_same_definition
from finetune_operator.job.known_adjustments import read_adjustments
from finetune_operator.job.observe.attempt_end import bring_up_to_date
from finetune_operator.job.observe.chosen_batch import with_chosen_batch
from finetune_operator.job.observe.containers import has_trainer_started, tell_companions
from finetune_operator.job.observe.endings import is_over
from finetune_operator.job.observe.interrupted_pods import with_interruptions
from finetune_operator.job.observe.pods import (
    attempt_number,
    controller_uid,
    current_pods,
    find_lingering,
    find_silent_nodes,
    pods_of,
    waiting_since,
)
from finetune_operator.job.observe.queueing import (
    NO_WORDS,
    QueueWords,
    find_queue,
    find_queue_words,
)
from finetune_operator.job.observe.strays import names_of_others
from finetune_operator.job.observe.waiting import PodWords, WaitsOn, find_wait
from finetune_operator.job.spec import FineTuneJob
from finetune_operator.objects.names import (
    ANNOTATION_ADJUSTMENTS,
    ANNOTATION_DEFINITION,
    ANNOTATION_DIGEST,
)
from finetune_operator.objects.raw import Body
from finetune_operator.objects.times import parse_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Children:
    """The raw objects of a job, including those of an earlier job of the same name."""

    training_jobs: Sequence[Body] = ()
    pods: Sequence[Body] = ()
    workload: Body | None = None
    """Kueue's Workload of the newest Job while the Job is suspended."""
    complaint: str = ""
    """Why the Job controller could not create the pods of the newest Job, in its words."""
    pod_events: PodWords = field(default_factory=dict)
    """Messages of Events about pods that do not start and whose status has no message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A Job that still runs although its attempt is recorded as ended: other containers keep its
    pods.
    """

    job_name: str
    since: datetime
    """When the attempt ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The state of a job."""

    attempts: tuple[Attempt, ...] = ()
    """The attempts of the current definition, brought up to date."""
    earlier: tuple[Attempt, ...] = ()
    """The attempts of earlier definitions."""
    started: datetime | None = None
    """When its pods were first admitted, or again after a suspension; not while a queue holds them
    back.
    """
    outcome: Outcome | None = None
    """The outcome of the newest attempt, read while its pod still existed."""
    trainer_phase: TrainerPhase | None = None
    """The phase that the newest attempt last reported."""
    is_suspended: bool = False
    """Whether the running attempt's Job is suspended from outside (Kueue)."""
    queue: str = ""
    """The LocalQueue of the running attempt's Job."""
    queue_words: QueueWords = NO_WORDS
    """Why it is suspended."""
    is_going: bool = False
    """Whether the running attempt's Job is being deleted."""
    waiting_since: datetime | None = None
    """Since when a pod of the running attempt has been missing or not running."""
    started_pods: int = 0
    """How many pods of the running attempt have reached Running."""
    waiting_for: str = ""
    """Why a pod of the running attempt does not run, in the words of the component that starts
    it.
    """
    waits_on: WaitsOn = WaitsOn.NOTHING
    """The party that must act in the meantime."""
    standing: str = ""
    """The state of a pod that does not run yet, if no component reports a problem."""
    silent_nodes: str = ""
    """The nodes that do not respond and have pods that have not ended."""
    companions: str = ""
    """The state of other containers after the newest attempt's trainer has ended."""
    held: Held | None = None
    """The Job of an ended attempt that still has pods."""
    lingering_pods: tuple[str, ...] = ()
    """Pods of ended attempts, or of an earlier job of this name, that still run; Jobs without an
    owner; and Jobs of that earlier job that may still create pods.
    """

    @property
    def newest(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def last(self) -> Attempt | None:
        """The newest at any definition: there is never more than one after it."""
        return self.newest or (self.earlier[-1] if self.earlier else None)

    @property
    def running(self) -> Attempt | None:
        """The newest that has not ended: there should be no other, nor one after it."""
        known = (*self.earlier, *self.attempts)
        return next((attempt for attempt in reversed(known) if attempt.end is None), None)


def observe(job: FineTuneJob, body: Body, children: Children, now: datetime) -> Observed:
    """Attempts recorded as ended stay unchanged; the others follow their children."""
    status = body.get("status", {})
    progress = status.get("progress", {})
    own_jobs = {
        found["metadata"]["name"]: found
        for found in children.training_jobs
        if controller_uid(found) == job.uid
    }
    attempts: list[Attempt] = []
    outcome = None
    for known in _known_attempts(status, own_jobs, job.definition):
        # Not only the newest: a crash may have happened between its start and the record of the
        # last.
        training_job = own_jobs.get(known.name)
        seen, outcome = bring_up_to_date(known, training_job, children.pods, now)
        if seen.gpus is None and seen.definition == job.definition:
            # Its record was never written (a crash), or an older operator wrote no such field.
            seen = replace(seen, gpus=job.resources.gpus)
        seen = _with_progress(seen, progress, outcome)
        seen = with_chosen_batch(seen, job.config, progress, outcome)
        if known.end is None:
            own = [] if training_job is None else pods_of(training_job, children.pods)
            seen = with_interruptions(seen, training_job, own, progress)
        attempts.append(seen)
    last = attempts[-1] if attempts else None
    is_running = last is not None and last.end is None
    current_job = own_jobs.get(last.name) if last is not None and is_running else None
    is_held = bool(current_job and current_job["spec"].get("suspend"))
    # Waiting for the first admission of a further attempt counts as time of the job.
    was_admitted = last is not None and last.admitted is not None
    wanted = current_pods(current_job, children.pods)
    waits_since = waiting_since(
        current_job, wanted, has_run=last is not None and last.pods_started is not None
    )
    parallelism = current_job["spec"].get("parallelism", 1) if current_job and waits_since else 0
    missing = max(0, parallelism - len(wanted))
    wait = find_wait(wanted, missing, children.complaint, children.pod_events)
    told = _with_steps_lost(attempts)
    # A rejected job whose definition was never recorded has changed nothing.
    same = ("", job.definition)
    other = [index for index, it in enumerate(told) if it.definition not in same]
    changed = max(other, default=-1) + 1 if job.definition else 0
    return Observed(
        attempts=tuple(told[changed:]),
        earlier=tuple(told[:changed]),
        started=None if is_held and was_admitted else _started(status, told[changed:]),
        outcome=outcome,
        trainer_phase=_trainer_phase(progress, last),
        is_suspended=is_held,
        queue=find_queue(current_job),
        queue_words=find_queue_words(children.workload),
        is_going=bool(current_job and "deletionTimestamp" in current_job["metadata"]),
        waiting_since=waits_since and (refused_since(attempts[:-1]) or waits_since),
        started_pods=sum(map(has_trainer_started, wanted)),
        waiting_for=wait.complaint,
        waits_on=wait.on,
        standing=wait.standing,
        silent_nodes=find_silent_nodes(children.pods),
        companions="" if is_running else _companions_of(last, own_jobs, children.pods),
        held=find_held(parse_attempts(status), children.training_jobs, job.uid),
        lingering_pods=(
            *find_lingering(children.pods, current_job),
            *names_of_others(children.training_jobs, job.uid),
        ),
    )


def find_held(attempts: Sequence[Attempt], jobs: Sequence[Body], owner: str) -> Held | None:
    """From the records: a Job is ended only after the end of its attempt is recorded."""
    ended = {it.name: it.end for it in attempts if it.end is not None}
    for found in jobs:
        metadata = found["metadata"]
        end = ended.get(metadata["name"])
        is_done = is_over(found) or "deletionTimestamp" in metadata
        if end is not None and not is_done and controller_uid(found) == owner:
            return Held(job_name=metadata["name"], since=end)
    return None


def _companions_of(
    attempt: Attempt | None, own_jobs: Mapping[str, Body], pods: Sequence[Body]
) -> str:
    found = None if attempt is None else own_jobs.get(attempt.name)
    return "" if found is None else tell_companions(pods_of(found, pods))


def _started(status: Body, attempts: Sequence[Attempt]) -> datetime | None:
    """From the record, because the first attempts' records may be pruned; set again after a queue
    held it back, as for a batch/v1 Job.
    """
    if "startTime" in status and attempts:
        return parse_time(status["startTime"])
    newest = attempts[-1] if attempts else None
    if newest is not None and newest.end is None and newest.admitted is not None:
        return newest.admitted
    return began_at(attempts)


def _known_attempts(status: Body, own_jobs: Mapping[str, Body], definition: str) -> list[Attempt]:
    """The recorded attempts and, after them, those whose record was never written (a crash)."""
    recorded = list(parse_attempts(status))
    newest_number = recorded[-1].number if recorded else 0
    numbers = {name: attempt_number(found) for name, found in own_jobs.items()}
    newer = [
        _attempt_of(name, number, own_jobs[name]["metadata"])
        for name, number in numbers.items()
        if number is not None and number > newest_number
    ]
    known = recorded + sorted(newer, key=lambda attempt: attempt.number)
    return [
        replace(it, definition=definition) if is_same_definition(it.definition, definition) else it
        for it in known
    ]


def _attempt_of(name: str, number: int, metadata: Body) -> Attempt:
    """An attempt rebuilt from its Job."""
    annotations = metadata.get("annotations", {})
    return Attempt(
        number=number,
        name=name,
        start=parse_time(metadata["creationTimestamp"]),
        definition=annotations.get(ANNOTATION_DIGEST) or annotations.get(ANNOTATION_DEFINITION, ""),
        adjustments=_adjustments_of(annotations),
    )


def _adjustments_of(annotations: Mapping[str, str]) -> Mapping[str, Any]:
    """None if invalid: a user who may edit Jobs can write anything there."""
    try:
        found = parse_object(annotations.get(ANNOTATION_ADJUSTMENTS, "{}"), ANNOTATION_ADJUSTMENTS)
    except InvalidDocument:
        return {}
    return read_adjustments(found)


def _with_progress(
    attempt: Attempt, progress: Mapping[str, Any], outcome: Outcome | None
) -> Attempt:
    """The attempt with the trainer's last report. The outcome takes precedence over reports."""
    if outcome is not None:
        return replace(attempt, last_step=outcome.step, resumed_from_step=outcome.resumed_from_step)
    if progress.get("attempt") != attempt.number:
        return attempt
    steps = [step for step in (attempt.last_step, progress.get("step")) if step is not None]
    resumed_from_step = progress.get("resumedFromStep", attempt.resumed_from_step)
    return replace(attempt, last_step=max(steps, default=None), resumed_from_step=resumed_from_step)


def _with_steps_lost(attempts: Sequence[Attempt]) -> list[Attempt]:
    """If a killed attempt could not report its lost steps, the next one's first step shows them."""
    told: list[Attempt] = []
    next_beginning: int | None = None
    for attempt in reversed(attempts):
        last_step, is_open = attempt.last_step, attempt.steps_lost is None
        if is_open and last_step is not None and next_beginning is not None:
            told.append(replace(attempt, steps_lost=max(0, last_step - next_beginning)))
        else:
            told.append(attempt)
        if attempt.resumed_from_step is not None:
            next_beginning = attempt.resumed_from_step
    return told[::-1]


def _trainer_phase(progress: Mapping[str, Any], newest: Attempt | None) -> TrainerPhase | None:
    is_of_newest = newest is not None and progress.get("attempt") == newest.number
    return TrainerPhase.named(progress.get("phase")) if is_of_newest else None
