# SPDX-License-Identifier: Apache-2.0
"""Runs the steps from a job to its next status; decides nothing itself.

parse_job -> observe -> decide -> build_attempt -> carry out -> next_status -> patch -> event
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from finetune_operator.job.attempts import parse_attempts
from finetune_operator.job.cluster import FindModel, JobCluster, knows_no_model
from finetune_operator.job.decide.decision import decide
from finetune_operator.job.decide.next_step import Decision
from finetune_operator.job.decide.release import release_time
from finetune_operator.job.definitions import is_whole, read_definition
from finetune_operator.job.manifests import build_attempt
from finetune_operator.job.observe.observation import Children, Observed, find_held, observe
from finetune_operator.job.observe.strays import find_strays
from finetune_operator.job.spec import (
    FineTuneJob,
    SpecReader,
    definition_of,
    parse_job,
    read_spec,
)
from finetune_operator.job.status.events import build_job_event, find_turning_points
from finetune_operator.job.status.finished import (
    acknowledged_status,
    find_cleanup,
    is_finished,
)
from finetune_operator.job.status.status import is_news, next_status
from finetune_operator.job.status.tally import find_tally
from finetune_operator.objects.errors import NotYet
from finetune_operator.objects.names import JobReason, Phase
from finetune_operator.objects.raw import Body
from finetune_operator.objects.reconciled import Reconciled, write
from finetune_operator.objects.times import render_time
from finetune_operator.settings import Settings


async def reconcile(
    body: Body,
    *,
    cluster: JobCluster,
    settings: Settings,
    now: datetime,
    find_model: FindModel = knows_no_model,
    read: SpecReader = read_spec,
) -> Reconciled | None:
    """One pass for one job; None if the job is being deleted.

    `read` is `read_spec`, or a cache of it.

    Raises:
        Conflict: the job has changed since it was cached.
        Gone: the job was deleted.
    """
    if "deletionTimestamp" in body["metadata"]:
        # The garbage collector deletes the children; their pods get the grace period to save.
        return None
    children = await cluster.children_of(body)
    await _end_strays(body, children, cluster=cluster)
    if is_finished(body):
        jobs = children.training_jobs
        return await _look_after_finished(body, jobs, cluster=cluster, now=now)
    job = parse_job(body, settings, await find_model(body), read)
    observed = observe(job, body, children, now)
    decision = decide(job, observed, now)
    decision = await _carry_out(job, body, observed, decision, cluster=cluster, settings=settings)
    status = next_status(body.get("status", {}), job, observed, decision, now)
    return await _write(body, status, decision.check_again_in, cluster=cluster, now=now)


async def _end_strays(body: Body, children: Children, *, cluster: JobCluster) -> None:
    """In any state of the job: a pod without an owner may repeat a training that is finished."""
    if strays := find_strays(children.training_jobs, children.pods):
        # A user who deletes the job with --cascade=orphan expects them to continue.
        await cluster.confirm_newest(body)
        await cluster.end_strays(strays)


async def _look_after_finished(
    body: Body, jobs: Sequence[Body], *, cluster: JobCluster, now: datetime
) -> Reconciled:
    """Records an edit, ends pods that others keep, and deletes children after their TTL."""
    previous, spec = body["status"], body["spec"]
    definition = read_definition(previous) or ""
    if not is_whole(definition):
        # An older operator recorded no more; a finished spec has the same definition.
        definition = definition_of(spec)
    seen = acknowledged_status(previous, body["metadata"]["generation"], definition)
    release = await _release(body, jobs, cluster=cluster, now=now)
    due = find_cleanup(previous, spec)
    if due is None or due > now:
        waits = [moment - now for moment in (due, release) if moment is not None]
        return await _write(body, seen, min(waits, default=None), cluster=cluster, now=now)
    await cluster.confirm_newest(body)
    # Includes attempts whose records were pruned long ago.
    names = {it.name for it in parse_attempts(previous)} | {it["metadata"]["name"] for it in jobs}
    await cluster.delete_children(body, sorted(names))
    cleaned = {**seen, "cleanupTime": render_time(now)}
    return await _write(body, cleaned, None, cluster=cluster, now=now)


async def _release(
    body: Body, jobs: Sequence[Body], *, cluster: JobCluster, now: datetime
) -> datetime | None:
    """Ends a Job whose pods outlive their trainer; returns when that is due if it is not yet."""
    metadata = body["metadata"]
    held = find_held(parse_attempts(body["status"]), jobs, metadata["uid"])
    if held is None or release_time(held) > now:
        return None if held is None else release_time(held)
    await cluster.confirm_newest(body)
    await cluster.delete_training_job(metadata["namespace"], held.job_name)
    return None


async def _carry_out(
    job: FineTuneJob,
    body: Body,
    observed: Observed,
    decision: Decision,
    *,
    cluster: JobCluster,
    settings: Settings,
) -> Decision:
    """The decision as carried out: a name that is still taken turns it into waiting."""
    if decision.job_to_delete is not None:
        await cluster.confirm_newest(body)
        await cluster.delete_training_job(job.namespace, decision.job_to_delete)
    if decision.is_repaired and (running := observed.running) is not None:
        try:
            for manifest in build_attempt(job, running.number, settings, running.adjustments)[:-1]:
                await cluster.create(manifest)
        except NotYet as not_yet:
            return replace(decision, message=f"{decision.message}; {not_yet}")
    number = decision.attempt_to_start
    if number is None:
        return decision
    # A stale cache must not start anything for a job that has ended or was deleted, nor next to a
    # pod that still runs.
    await cluster.confirm_newest(body)
    await cluster.confirm_none_runs(body)
    try:
        for manifest in build_attempt(job, number, settings, decision.adjustments):
            await cluster.create(manifest)
    except NotYet as not_yet:
        return replace(
            decision,
            phase=Phase.PENDING if number == 1 else Phase.RETRYING,
            reason=not_yet.reason or JobReason.WAITING,
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
    cluster: JobCluster,
    now: datetime,
) -> Reconciled:
    before = body.get("status", {})
    if not is_news(before, status):
        status = before
    points = find_turning_points(before, status)
    events = [build_job_event(body, point, status, now) for point in points]
    done = await write(body, status, events, check_again_in, cluster=cluster)
    if not done.has_written:
        return done
    # Counted when it is recorded, so that no pass counts it twice.
    return replace(done, tally=find_tally(before, status))
