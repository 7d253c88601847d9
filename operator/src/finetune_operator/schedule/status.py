# SPDX-License-Identifier: Apache-2.0
"""next_status: everything that users read in a schedule's `.status`, complete. No I/O here."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from finetune_operator.objects import conditions
from finetune_operator.objects.conditions import Claim
from finetune_operator.objects.errors import InvalidSpec, NotYet
from finetune_operator.objects.names import API_VERSION, KIND, JobReason, ScheduleReason
from finetune_operator.objects.raw import Body, Manifest
from finetune_operator.objects.times import render_time
from finetune_operator.schedule.decision import ScheduleDecision
from finetune_operator.schedule.observation import Child, ObservedSchedule
from finetune_operator.schedule.spec import Schedule

MAX_ACTIVE = 100
"""More are counted, but not listed."""


def next_status(
    body: Body,
    schedule: Schedule,
    observed: ObservedSchedule,
    decision: ScheduleDecision,
    refusal: NotYet | None,
    now: datetime,
) -> Manifest:
    """After the decision was carried out, or was refused."""
    previous = body.get("status", {})
    missed = previous.get("lastMissedTime")
    if decision.missed is not None:
        missed = render_time(decision.missed)
    next_ = decision.next and decision.next.astimezone(schedule.table.zone)
    counted_from = observed.counted_from
    return {
        **_render_past(observed, missed),
        "times": observed.times,
        **({} if counted_from is None else {"countedFrom": render_time(counted_from)}),
        **({} if next_ is None else {"nextScheduleTime": next_.isoformat(timespec="seconds")}),
        **_render_seen(body, _claims(schedule, decision, refusal), now),
    }


def rejected_status(
    body: Body, observed: ObservedSchedule, invalid: InvalidSpec, now: datetime
) -> Manifest:
    """For a schedule whose spec the user must edit first."""
    message = str(invalid)
    claims = [
        Claim(type="Accepted", is_true=False, reason=JobReason.INVALID_SPEC, message=message),
        Claim(type="Stalled", is_true=True, reason=JobReason.INVALID_SPEC, message=message),
        Claim(type="Ready", is_true=False, reason=JobReason.INVALID_SPEC, message=message),
    ]
    previous = body.get("status", {})
    # A typing error does not reset the counts of missed times.
    counted = {name: previous[name] for name in ("times", "countedFrom") if name in previous}
    past = _render_past(observed, previous.get("lastMissedTime"))
    return {**past, **counted, **_render_seen(body, claims, now)}


def _render_past(observed: ObservedSchedule, missed: str | None) -> Manifest:
    last, successful = observed.last_scheduled, observed.last_successful
    rendered = {
        "active": [_render_reference(child) for child in observed.active[:MAX_ACTIVE]],
        "activeCount": len(observed.active),
        "lastScheduleTime": last and render_time(last),
        "lastSuccessfulTime": successful and render_time(successful),
        "lastMissedTime": missed,
    }
    return {name: value for name, value in rendered.items() if value is not None}


def _render_seen(body: Body, claims: Sequence[Claim], now: datetime) -> Manifest:
    generation = body["metadata"]["generation"]
    known = body.get("status", {}).get("conditions", ())
    return {
        "observedGeneration": generation,
        "conditions": conditions.merge(known, claims, generation, now),
    }


def _render_reference(child: Child) -> Mapping[str, Any]:
    return {"apiVersion": API_VERSION, "kind": KIND, "name": child.name, "uid": child.uid}


def _claims(schedule: Schedule, decision: ScheduleDecision, refusal: NotYet | None) -> list[Claim]:
    accepted = Claim(
        type="Accepted",
        is_true=True,
        reason=JobReason.SPEC_ACCEPTED,
        message="; ".join(["the spec is valid", *(f"warning: {w}" for w in schedule.warnings)]),
    )
    if refusal is None:
        reason, message = decision.reason, decision.message
        return [accepted, Claim(type="Ready", is_true=True, reason=reason, message=message)]
    failed, message = ScheduleReason.FAILED_CREATE, str(refusal)
    return [
        accepted,
        Claim(type="Reconciling", is_true=True, reason=failed, message=message),
        Claim(type="Ready", is_true=False, reason=failed, message=message),
    ]
