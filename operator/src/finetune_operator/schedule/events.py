# SPDX-License-Identifier: Apache-2.0
"""Events at a schedule's turning points, with a CronJob's reasons. No I/O here."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from finetune_operator.objects import conditions
from finetune_operator.objects.events import TurningPoint, build_event
from finetune_operator.objects.names import SCHEDULE_KIND, JobReason, ScheduleReason
from finetune_operator.objects.raw import Body, Manifest
from finetune_operator.schedule.decision import ScheduleDecision
from finetune_operator.schedule.observation import Child, ObservedSchedule


def find_turning_points(
    before: Mapping[str, Any], after: Mapping[str, Any], observed: ObservedSchedule
) -> Iterator[TurningPoint]:
    """Events from two states of a status and the jobs seen in between."""
    yield from _tell_ended(before, observed)
    yield from _tell_conditions(before, after)
    missed = after.get("lastMissedTime")
    if missed is not None and missed != before.get("lastMissedTime"):
        message = f"Missed scheduled time to start a job: {missed}"
        yield TurningPoint(
            is_warning=True, reason=ScheduleReason.MISS_SCHEDULE, message=message, about=missed
        )


def tell_created(child: Child, decision: ScheduleDecision) -> Iterator[TurningPoint]:
    if decision.has_missed_many:
        yield TurningPoint(
            is_warning=True,
            reason=ScheduleReason.TOO_MANY_MISSED_TIMES,
            message="too many missed start times. Set or decrease .spec.startingDeadlineSeconds "
            "or check clock skew",
            about=child.uid,
        )
    yield TurningPoint(
        reason=ScheduleReason.SUCCESSFUL_CREATE,
        message=f"Created job {child.name}",
        about=child.uid,
    )


def tell_deleted(children: Sequence[Child]) -> Iterator[TurningPoint]:
    for child in children:
        message = f"Deleted job {child.name}"
        yield TurningPoint(
            reason=ScheduleReason.SUCCESSFUL_DELETE, message=message, about=child.uid
        )


def _tell_ended(before: Mapping[str, Any], observed: ObservedSchedule) -> Iterator[TurningPoint]:
    """For the jobs that ran when the status was last written."""
    known = {child.uid: child for child in observed.children}
    for reference in before.get("active", ()):
        name, uid = reference["name"], reference["uid"]
        child = known.get(uid)
        if child is None:
            message = f"Active job went missing: {name}"
            yield TurningPoint(reason=ScheduleReason.MISSING_JOB, message=message, about=uid)
        elif child.ending is not None:
            message = f"Saw completed job: {name}, condition: {child.ending}"
            yield TurningPoint(reason=ScheduleReason.SAW_COMPLETED_JOB, message=message, about=uid)


_TOLD_REASONS = {
    JobReason.INVALID_SPEC: True,
    ScheduleReason.FAILED_CREATE: True,
    ScheduleReason.JOB_ALREADY_ACTIVE: False,
}
"""Whether the reason is a warning."""


def _tell_conditions(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[TurningPoint]:
    ready = conditions.require(after["conditions"], "Ready")
    was_ready = conditions.find(before.get("conditions", ()), "Ready") or {}
    reason, message = ready["reason"], ready["message"]
    if reason in _TOLD_REASONS and message != was_ready.get("message"):
        yield TurningPoint(
            is_warning=_TOLD_REASONS[reason], reason=reason, message=message, about=message
        )


def build_schedule_event(body: Body, point: TurningPoint, now: datetime) -> Manifest:
    """The Event for a turning point; a repeated report has the same name, so only one remains."""
    return build_event(body, SCHEDULE_KIND, point, now, point.reason, point.about)
