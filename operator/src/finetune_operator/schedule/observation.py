# SPDX-License-Identifier: Apache-2.0
"""observe: reads the state of a schedule's jobs. No I/O here, and no clock."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from finetune_operator.job.spec import is_redefined
from finetune_operator.objects import conditions
from finetune_operator.objects.names import ANNOTATION_SCHEDULED_AT, scheduled_name
from finetune_operator.objects.raw import Body
from finetune_operator.objects.times import parse_time
from finetune_spec.cron.zones import UTC

MAX_TIMES = 1200
"""Characters of a schedule with its time zone."""


class JobEnding(StrEnum):
    """The condition that a job has ended with."""

    COMPLETE = "Complete"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A FineTuneJob that the schedule owns."""

    name: str
    uid: str
    scheduled_at: datetime | None
    """None if the schedule did not create it."""
    ending: JobEnding | None
    start: datetime | None
    completion: datetime | None
    is_going: bool
    """Whether it is already deleted and only waits for a finalizer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedSchedule:
    """The jobs in the order of their names, and the past as they and the status show it."""

    children: tuple[Child, ...]
    recorded: datetime | None
    """The last scheduled time in the status."""
    last_scheduled: datetime | None
    """The same, including its jobs: the operator may have been killed after creating one."""
    last_successful: datetime | None
    times: str
    """Schedule and time zone, in one text."""
    counted_from: datetime | None
    """Since when they are unchanged; None if they were never changed."""

    @property
    def active(self) -> tuple[Child, ...]:
        return tuple(child for child in self.children if child.ending is None)

    @property
    def is_recorded(self) -> bool:
        return self.recorded == self.last_scheduled

    def ended(self, ending: JobEnding) -> tuple[Child, ...]:
        """The jobs with this ending, the oldest first, sorted as by the CronJob controller."""
        found = (child for child in self.children if child.ending is ending)
        return tuple(sorted(found, key=lambda it: (it.start is None, it.start or 0, it.name)))


def observe(body: Body, bodies: Sequence[Body], now: datetime) -> ObservedSchedule:
    """The facts of a raw schedule, valid or not, and the jobs that it owns."""
    status, name = body.get("status", {}), body["metadata"]["name"]
    children = sorted((observe_child(it, name) for it in bodies), key=lambda child: child.name)
    recorded = _time(status.get("lastScheduleTime"))
    scheduled = [recorded, *(child.scheduled_at for child in children)]
    completions = [it.completion for it in children if it.ending is JobEnding.COMPLETE]
    successful = [_time(status.get("lastSuccessfulTime")), *completions]
    # Longer ones are refused, so it does not matter if cut ones are equal.
    times = f"{body['spec']['schedule']} {body['spec'].get('timeZone', UTC)}"[:MAX_TIMES]
    is_changed = status.get("times", times) != times
    return ObservedSchedule(
        times=times,
        counted_from=now if is_changed else _time(status.get("countedFrom")),
        children=tuple(children),
        recorded=recorded,
        last_scheduled=_latest(scheduled),
        last_successful=_latest(successful),
    )


def observe_child(body: Body, schedule_name: str) -> Child:
    metadata, status = body["metadata"], body.get("status", {})
    return Child(
        name=metadata["name"],
        uid=metadata["uid"],
        scheduled_at=_scheduled_at(body, schedule_name),
        ending=_ending(body),
        start=_time(status.get("startTime")),
        completion=_time(status.get("completionTime")),
        is_going="deletionTimestamp" in metadata,
    )


def with_started(observed: ObservedSchedule, child: Child, moment: datetime) -> ObservedSchedule:
    others = [known for known in observed.children if known.uid != child.uid]
    return replace(observed, children=(*others, child), last_scheduled=moment)


def without(observed: ObservedSchedule, gone: Sequence[Child]) -> ObservedSchedule:
    uids = {child.uid for child in gone}
    kept = tuple(child for child in observed.children if child.uid not in uids)
    return replace(observed, children=kept)


def _ending(body: Body) -> JobEnding | None:
    found = body.get("status", {}).get("conditions", ())
    if is_redefined(body):
        return None
    return next((ending for ending in JobEnding if conditions.is_true(found, ending)), None)


def _scheduled_at(body: Body, schedule_name: str) -> datetime | None:
    """The time in the annotation if the name has the same time: any user may write it."""
    metadata = body["metadata"]
    try:
        moment = parse_time(metadata.get("annotations", {})[ANNOTATION_SCHEDULED_AT])
        is_ours = scheduled_name(schedule_name, moment) == metadata["name"]
    except (KeyError, ValueError, TypeError):
        return None
    return moment if is_ours else None


def _time(text: str | None) -> datetime | None:
    return None if text is None else parse_time(text)


def _latest(moments: Sequence[datetime | None]) -> datetime | None:
    return max((moment for moment in moments if moment is not None), default=None)
