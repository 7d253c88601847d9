# SPDX-License-Identifier: Apache-2.0
"""find_tally: the additions of a new status to the counters. No I/O here.

`status.gpuHours` may decrease: an attempt counts as wasted until its saved steps are known.
Counters must not decrease, so they count a wasted hour only when it is certain.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from finetune_operator.job.attempts import Attempt, Result, parse_attempts
from finetune_operator.job.status.gpu_hours import GpuHours, hours_of
from finetune_operator.objects import conditions
from finetune_operator.objects.raw import Body
from finetune_operator.objects.tally import NOTHING, Tally

SECONDS = 3600
DELETED = "Deleted"


def find_tally(before: Mapping[str, Any], after: Mapping[str, Any]) -> Tally:
    """The difference between two statuses."""
    known, now = _settled_hours(before), _settled_hours(after)
    result = _result_of(after)
    # It may end more than once: a changed spec is another run.
    has_ended = bool(result) and not _result_of(before)
    failure = after.get("failure", {}) if result == "Failed" else {}
    return _tally(known, now, result if has_ended else "", str(failure.get("reason", "")))


def find_tally_of_deletion(body: Body, now: datetime) -> Tally:
    """For a deleted job, from its last status: nothing will report what its last attempt saved.

    A finished job was counted before.
    """
    status = body.get("status", {})
    if _result_of(status):
        return NOTHING
    attempts = parse_attempts(status)
    running = [replace(it, end=now) for it in attempts if it.end is None]
    hours = _recorded_hours(status)
    for attempt in running:
        hours += hours_of(attempt)
    return _tally(_settled_hours(status), hours, DELETED, "")


def _tally(known: GpuHours, now: GpuHours, result: str, reason: str) -> Tally:
    return Tally(
        used_seconds=max(0.0, now.used - known.used) * SECONDS,
        wasted_seconds=max(0.0, now.wasted - known.wasted) * SECONDS,
        result=result,
        reason=reason if result else "",
    )


def _result_of(status: Mapping[str, Any]) -> str:
    found = status.get("conditions", ())
    if conditions.is_true(found, "Complete"):
        return "Succeeded"
    return "Failed" if conditions.is_true(found, "Failed") else ""


def _settled_hours(status: Mapping[str, Any]) -> GpuHours:
    """Without hours that count as wasted only because the saved steps are unknown."""
    hours = _recorded_hours(status)
    if _result_of(status):
        return hours
    open_ = [it for it in parse_attempts(status) if not _is_settled(it)]
    uncertain = sum(hours_of(attempt).wasted for attempt in open_)
    return replace(hours, wasted=max(0.0, hours.wasted - uncertain))


def _is_settled(attempt: Attempt) -> bool:
    """Whether its saved steps are known; without any step there was nothing to save."""
    taken = (attempt.last_step or 0) - (attempt.resumed_from_step or 0)
    is_known = attempt.steps_lost is not None or taken <= 0
    return attempt.result is Result.SUCCEEDED or (attempt.end is not None and is_known)


def _recorded_hours(status: Mapping[str, Any]) -> GpuHours:
    recorded = status.get("gpuHours", {})
    return GpuHours(used=recorded.get("used", 0.0), wasted=recorded.get("wasted", 0.0))
