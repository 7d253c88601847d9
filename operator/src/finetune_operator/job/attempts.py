# SPDX-License-Identifier: Apache-2.0
"""Attempts as `status.attempts` records them: reads, writes and counts them. No I/O here.

They are the operator's memory of a job: the Jobs themselves may have been deleted long ago.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import takewhile
from typing import Any

from finetune_contract.object_names import is_object_name
from finetune_contract.outcome import Category, Failure
from finetune_contract.reasons import Reason
from finetune_operator.job.definitions import read_definition, render_definition
from finetune_operator.job.interruptions import (
    MAX_KEPT,
    Interruption,
    parse_interruptions,
    render_interruptions,
)
from finetune_operator.job.known_adjustments import read_adjustments
from finetune_operator.objects.raw import Body, Manifest
from finetune_operator.objects.times import parse_time, render_time

FIRST_DELAY = timedelta(seconds=10)
FIRST_DELAY_OF_REFUSED = timedelta(minutes=1)
LONGEST_DELAY = timedelta(minutes=5)

BRIEF = timedelta(minutes=10)
"""An attempt interrupted before this has made almost no progress."""

_HIGHEST = 2**31
"""No job can reach this number of attempts."""

MAX_INTERRUPTED = 20
"""The number of interrupted attempts kept in the status; all counted ones are kept."""

MAX_EARLIER = 10
"""The number of attempts kept of earlier definitions."""

MAX_EXPLAINED = 20
"""The number of attempts that keep their failure message; older ones keep only the reason."""


class Result(StrEnum):
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    INTERRUPTED = "Interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at a run."""

    number: int
    name: str
    """The name of its Job, ConfigMap and Service."""
    start: datetime
    end: datetime | None = None
    result: Result = Result.RUNNING
    failure: Failure | None = None
    exit_code: int | None = None
    last_step: int | None = None
    """The last optimizer step that was recorded."""
    resumed_from_step: int | None = None
    steps_lost: int | None = None
    """Steps that are in no checkpoint; set later if the trainer could not report them."""
    definition: str = ""
    """The definition of the spec that it tries; empty in the records of an older operator."""
    adjustments: Mapping[str, Any] = field(default_factory=dict)
    """Config keys that the attempt sets differently from the user."""
    admitted: datetime | None = None
    """When its Job was admitted: a queue may hold it back for a long time."""
    pods_started: datetime | None = None
    """When its first pod started on a node: from then on it uses GPUs."""
    gpus: int | None = None
    """The GPUs of all its nodes together."""
    interruptions: tuple[Interruption, ...] = ()
    """Its pods that were ended from outside, as far as they are recorded."""
    is_stopping: bool = False
    """Whether the operator is ending it; the reason is already recorded in `failure`."""

    @property
    def is_counted(self) -> bool:
        """Whether it uses up one of the allowed failures: the memory ladder has its own limit."""
        is_on_ladder = self.failure is not None and self.failure.category is Category.OUT_OF_MEMORY
        return self.result is Result.FAILED and not is_on_ladder

    @property
    def never_started(self) -> bool:
        """Whether its node refused a pod before anything ran: this uses up no attempt."""
        return self.failure is not None and self.failure.reason == Reason.POD_REJECTED

    @property
    def was_suspended(self) -> bool:
        return self.failure is not None and self.failure.reason == Reason.SUSPENDED


def parse_attempts(status: Body) -> tuple[Attempt, ...]:
    """The records in a status, validated.

    A status can be edited by hand: names become part of requests, and numbers are incremented.
    """
    return tuple(_parse(record) for record in status.get("attempts", ()) if _is_record(record))


def _is_record(record: Body) -> bool:
    return is_object_name(record["name"]) and 1 <= record["number"] <= _HIGHEST


def render_attempts(attempts: Sequence[Attempt]) -> list[Manifest]:
    """The records, bounded: the API server refuses a status with more than 200, or one too large.

    Leaves out the oldest interrupted attempts and those of earlier definitions if there are many.
    """
    interrupted = [attempt for attempt in attempts if attempt.result is Result.INTERRUPTED]
    other = [n for n, it in enumerate(attempts) if it.definition != attempts[-1].definition]
    earlier = attempts[: max(other, default=-1) + 1]
    too_old = (*interrupted[:-MAX_INTERRUPTED], *earlier[:-MAX_EARLIER])
    dropped = {attempt.number for attempt in too_old}
    kept = [attempt for attempt in attempts if attempt.number not in dropped]
    kept = _with_newest_interruptions(kept)
    unexplained = [_without_words(attempt) for attempt in kept[:-MAX_EXPLAINED]]
    return [_render(attempt) for attempt in (*unexplained, *kept[-MAX_EXPLAINED:])]


def _without_words(attempt: Attempt) -> Attempt:
    if attempt.failure is None:
        return attempt
    return replace(attempt, failure=replace(attempt.failure, message="", remedy=""))


def _with_newest_interruptions(attempts: Sequence[Attempt]) -> list[Attempt]:
    left, kept = MAX_KEPT, []
    for attempt in reversed(attempts):
        newest = attempt.interruptions[-left:] if left else ()
        left -= len(newest)
        kept.append(replace(attempt, interruptions=newest))
    return kept[::-1]


def interruptions_at_end(attempts: Sequence[Attempt]) -> tuple[Interruption, ...]:
    """In order: those after the last attempt that failed or that its user suspended."""
    found: tuple[Interruption, ...] = ()
    for attempt in reversed(attempts):
        is_broken = attempt.result in (Result.FAILED, Result.SUCCEEDED) or attempt.was_suspended
        if is_broken:
            break
        found = (*attempt.interruptions, *found)
    return found


def refused_since(attempts: Sequence[Attempt]) -> datetime | None:
    """Since when nodes have refused every pod; None if the last attempt was not refused."""
    since = None
    for attempt in reversed(attempts):
        if attempt.end is None:
            continue
        if not attempt.never_started:
            break
        since = attempt.start
    return since


def count_failed(attempts: Sequence[Attempt]) -> int:
    return sum(attempt.is_counted for attempt in attempts)


def began_at(attempts: Sequence[Attempt]) -> datetime | None:
    """When the attempts since the last suspension began."""
    began = None
    for attempt in attempts:
        began = began or attempt.admitted or (attempt.end and attempt.start)
        if attempt.was_suspended and attempt.end is not None:
            began = None
    return began


def next_start(attempts: Sequence[Attempt]) -> datetime | None:
    """When the next attempt may start, from recorded times only: a restart changes nothing.

    10 s after the first counted failure, then twice as long each time, at most 5 minutes. After an
    interruption immediately, unless several brief attempts in a row were interrupted. After a node
    refused the pod, 1 minute, then twice as long each time: nodes take minutes to recover.
    """
    last = attempts[-1] if attempts else None
    if last is None or last.end is None:
        return None
    if last.is_counted:
        return last.end + _delay(count_failed(attempts))
    if last.result is Result.FAILED or last.was_suspended:
        return last.end
    if last.never_started:
        return last.end + _delay_of_refused(_count_refused_at_end(attempts))
    return last.end + _delay(_count_brief_at_end(attempts) - 1)


def _delay(failures: int) -> timedelta:
    if failures < 1:
        return timedelta()
    # Without a bound on the exponent a long history would overflow.
    doublings: int = min(failures - 1, 10)
    return min(FIRST_DELAY * (1 << doublings), LONGEST_DELAY)


def _delay_of_refused(refused: int) -> timedelta:
    doublings: int = min(refused - 1, 10)
    return min(FIRST_DELAY_OF_REFUSED * (1 << doublings), LONGEST_DELAY)


def _count_refused_at_end(attempts: Sequence[Attempt]) -> int:
    return len(list(takewhile(lambda attempt: attempt.never_started, reversed(attempts))))


def _count_brief_at_end(attempts: Sequence[Attempt]) -> int:
    count = 0
    for attempt in reversed(attempts):
        is_brief = attempt.end is not None and attempt.end - attempt.start < BRIEF
        if attempt.result is not Result.INTERRUPTED or attempt.was_suspended or not is_brief:
            break
        count += 1
    return count


def _parse(record: Body) -> Attempt:
    failure = None
    if (category := _category(record)) is not None:
        failure = Failure(
            category=category,
            reason=record.get("reason", ""),
            message=record.get("message", ""),
            remedy=record.get("remedy", ""),
            phase=record.get("trainerPhase", ""),
            rank=record.get("rank"),
        )
    return Attempt(
        number=record["number"],
        name=record["name"],
        start=parse_time(record["startTime"]),
        end=parse_time(record["endTime"]) if "endTime" in record else None,
        result=Result(record["result"]),
        failure=failure,
        exit_code=record.get("exitCode"),
        last_step=record.get("lastStep"),
        resumed_from_step=record.get("resumedFromStep"),
        steps_lost=record.get("stepsLost"),
        definition=read_definition(record) or "",
        adjustments=read_adjustments(record.get("adjustments")),
        admitted=parse_time(record["admittedTime"]) if "admittedTime" in record else None,
        pods_started=parse_time(record["podsStartTime"]) if "podsStartTime" in record else None,
        gpus=record.get("gpus"),
        interruptions=parse_interruptions(record),
        is_stopping=record.get("stopping", False),
    )


def _category(record: Body) -> Category | None:
    """The category of a failure; None if the attempt did not fail.

    An older operator called the field `blame`, and the API server drops fields that the CRD no
    longer has: then the reason implies the category.
    """
    recorded = record.get("category", record.get("blame"))
    if recorded is not None or "reason" not in record:
        # The field may be edited by hand: an unknown text is treated as no category.
        named = (category for category in Category if category == recorded)
        return None if recorded is None else next(named, Category.INTERNAL)
    known: dict[str, Reason] = {reason.value: reason for reason in Reason}
    if (reason := known.get(record["reason"])) is not None and len(reason.categories) == 1:
        return reason.categories[0]
    is_interruption = record["result"] == Result.INTERRUPTED
    return Category.INTERRUPTION if is_interruption else Category.INTERNAL


def _render(attempt: Attempt) -> Manifest:
    record: Manifest = {
        "number": attempt.number,
        "name": attempt.name,
        "startTime": render_time(attempt.start),
        "endTime": None if attempt.end is None else render_time(attempt.end),
        "result": attempt.result.value,
        "exitCode": attempt.exit_code,
        "lastStep": attempt.last_step,
        "resumedFromStep": attempt.resumed_from_step,
        "stepsLost": attempt.steps_lost,
        **render_definition(attempt.definition),
        "adjustments": dict(attempt.adjustments) or None,
        "admittedTime": None if attempt.admitted is None else render_time(attempt.admitted),
        "podsStartTime": attempt.pods_started and render_time(attempt.pods_started),
        "gpus": attempt.gpus,
        "interruptions": render_interruptions(attempt.interruptions) or None,
        "stopping": attempt.is_stopping or None,
    }
    if attempt.failure is not None:
        record |= {
            "category": attempt.failure.category.value,
            "reason": attempt.failure.reason,
            "message": attempt.failure.message,
            "remedy": attempt.failure.remedy or None,
            "trainerPhase": attempt.failure.phase or None,
            "rank": attempt.failure.rank,
        }
    return {name: value for name, value in record.items() if value is not None}
