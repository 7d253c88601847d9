# SPDX-License-Identifier: Apache-2.0
"""Runs the steps from a schedule to its next status; decides nothing itself.

parse_schedule -> observe -> decide -> carry out -> next_status -> write -> events -> clean up

Surplus jobs are deleted last, after the status contains their results.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from finetune_operator.objects.errors import InvalidSpec, NotYet
from finetune_operator.objects.events import TurningPoint
from finetune_operator.objects.raw import Body
from finetune_operator.objects.reconciled import Reconciled, write
from finetune_operator.schedule.child import build_child
from finetune_operator.schedule.cluster import ScheduleCluster
from finetune_operator.schedule.decision import ScheduleDecision, decide
from finetune_operator.schedule.events import (
    build_schedule_event,
    find_turning_points,
    tell_created,
    tell_deleted,
)
from finetune_operator.schedule.observation import (
    ObservedSchedule,
    observe,
    observe_child,
    with_started,
    without,
)
from finetune_operator.schedule.spec import Schedule, parse_schedule
from finetune_operator.schedule.status import next_status, rejected_status
from finetune_operator.settings import Settings
from finetune_spec.job import KnownModel


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """A decision after it was carried out."""

    decision: ScheduleDecision
    observed: ObservedSchedule
    points: tuple[TurningPoint, ...] = ()
    refusal: NotYet | None = None


async def reconcile_schedule(
    body: Body,
    *,
    cluster: ScheduleCluster,
    settings: Settings,
    now: datetime,
    model: KnownModel | None = None,
) -> Reconciled | None:
    """One pass for one schedule; None if the schedule is being deleted.

    Raises:
        Conflict: the schedule has changed since it was cached.
        Gone: the schedule was deleted.
    """
    if "deletionTimestamp" in body["metadata"]:
        # The garbage collector deletes its jobs.
        return None
    observed = observe(body, await cluster.jobs_of(body), now)
    try:
        schedule = parse_schedule(body, settings, model)
    except InvalidSpec as invalid:
        status = rejected_status(body, observed, invalid, now)
        return await _write(body, status, observed, (), None, cluster=cluster, now=now)
    decision = decide(schedule, observed, now)
    if decision.start is not None:
        # A stale cache must not start a job twice, nor next to a running one.
        await cluster.confirm_newest(body)
        observed = observe(body, await cluster.list_jobs_of(body), now)
        decision = decide(schedule, observed, now)
    done = await _carry_out(body, schedule, observed, decision, cluster=cluster)
    status = next_status(body, schedule, done.observed, done.decision, done.refusal, now)
    wait = done.decision.check_again_in
    # As observed before the deletions: a job deleted on purpose is not missing.
    reconciled = await _write(body, status, observed, done.points, wait, cluster=cluster, now=now)
    deleted = [
        child for child in decision.surplus if await cluster.delete_job(body, child.name, child.uid)
    ]
    for point in tell_deleted(deleted):
        await cluster.tell(build_schedule_event(body, point, now))
    return reconciled


async def _carry_out(
    body: Body,
    schedule: Schedule,
    observed: ObservedSchedule,
    decision: ScheduleDecision,
    *,
    cluster: ScheduleCluster,
) -> _Done:
    if decision.start is None:
        return _Done(decision=decision, observed=observed)
    for child in decision.replaced:
        await cluster.delete_job(body, child.name, child.uid)
    remaining = without(observed, decision.replaced)
    deleted = tuple(tell_deleted(decision.replaced))
    try:
        created = await cluster.create_job(build_child(schedule, decision.start))
    except NotYet as refusal:
        again = min(refusal.after, decision.check_again_in or refusal.after)
        return _Done(
            decision=replace(decision, start=None, check_again_in=again),
            observed=remaining,
            points=deleted,
            refusal=refusal,
        )
    made = observe_child(created, schedule.name)
    return _Done(
        decision=decision,
        observed=with_started(remaining, made, decision.start),
        points=(*deleted, *tell_created(made, decision)),
    )


async def _write(
    body: Body,
    status: Mapping[str, Any],
    observed: ObservedSchedule,
    points: tuple[TurningPoint, ...],
    check_again_in: timedelta | None,
    *,
    cluster: ScheduleCluster,
    now: datetime,
) -> Reconciled:
    before = body.get("status", {})
    found = () if before == status else find_turning_points(before, status, observed)
    events = [build_schedule_event(body, point, now) for point in (*points, *found)]
    return await write(body, status, events, check_again_in, cluster=cluster)
