# SPDX-License-Identifier: Apache-2.0
"""The straight line from a job to its next status; composes, decides nothing.

parse_job -> observe -> decide -> build_attempt -> carry out -> next_status -> patch -> event
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from finetune_operator import conditions
from finetune_operator.cluster import Cluster
from finetune_operator.decision import Decision, decide
from finetune_operator.desired import build_attempt
from finetune_operator.errors import InvalidSpec, NotYet
from finetune_operator.events import build_event, find_turning_point
from finetune_operator.manifest import Body
from finetune_operator.naming import Phase, Reason
from finetune_operator.observation import observe
from finetune_operator.settings import Settings
from finetune_operator.spec import FineTuneJob, parse_job
from finetune_operator.status import (
    acknowledged_status,
    is_finished,
    next_status,
    rejected_status,
    status_patch,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What came of it, for the log and the work queue."""

    phase: str
    reason: str
    has_written: bool
    check_again_in: timedelta | None = None


async def reconcile(
    body: Body,
    *,
    cluster: Cluster,
    settings: Settings,
    now: datetime,
    model: Mapping[str, Any] | None = None,
) -> Reconciled | None:
    """One pass for one job; None where there is nothing to say about it any more.

    `model` is its model's `config.json`, where that is known.

    Raises:
        Conflict: the job has changed since it was remembered.
        Gone: the job is no more.
    """
    if "deletionTimestamp" in body["metadata"]:
        # The garbage collector deletes the children; their pods get the grace period to save.
        return None
    previous, generation = body.get("status", {}), body["metadata"]["generation"]
    if is_finished(body):
        seen = acknowledged_status(previous, generation)
        return await _write(body, seen, None, cluster=cluster, now=now)
    try:
        job = parse_job(body, settings, model)
    except InvalidSpec as invalid:
        rejected = rejected_status(previous, generation, invalid, now)
        return await _write(body, rejected, None, cluster=cluster, now=now)
    observed = observe(job, body, await cluster.children_of(body), now)
    decision = decide(job, observed, now)
    decision = await _carry_out(job, body, decision, cluster=cluster, settings=settings)
    status = next_status(previous, job, observed, decision, now)
    return await _write(body, status, decision.check_again_in, cluster=cluster, now=now)


async def _carry_out(
    job: FineTuneJob, body: Body, decision: Decision, *, cluster: Cluster, settings: Settings
) -> Decision:
    """The decision as it turned out: a name that is still taken makes it wait."""
    number = decision.attempt_to_start
    if number is None:
        return decision
    # A cache that lags behind must not start anything for a job that has ended or is gone.
    await cluster.confirm_newest(body)
    try:
        for manifest in build_attempt(job, number, settings):
            await cluster.create(manifest)
    except NotYet as not_yet:
        return replace(
            decision,
            phase=Phase.PENDING if number == 1 else Phase.RETRYING,
            reason=Reason.WAITING,
            message=str(not_yet),
            attempt_to_start=None,
            check_again_in=not_yet.after,
        )
    return decision


async def _write(
    body: Body,
    status: Mapping[str, Any],
    check_again_in: timedelta | None,
    *,
    cluster: Cluster,
    now: datetime,
) -> Reconciled:
    before = body.get("status", {})
    patch = status_patch(before, status)
    if patch:
        await cluster.write_status(body, patch)
        # After the status: what is told has happened.
        if (point := find_turning_point(before, status)) is not None:
            await cluster.tell(build_event(body, point, status.get("attempt"), now))
    ready = conditions.require(status["conditions"], "Ready")
    return Reconciled(
        phase=status["phase"],
        reason=ready["reason"],
        has_written=bool(patch),
        check_again_in=check_again_in,
    )
