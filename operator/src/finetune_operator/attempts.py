# SPDX-License-Identifier: Apache-2.0
"""Attempts as `status.attempts` records them: read, written, counted. No I/O here.

They are the operator's memory of a job: the Jobs themselves may be long gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from finetune_contract.outcome import Blame, Failure
from finetune_operator.manifest import Body, Manifest
from finetune_operator.timestamps import parse_time, render_time

FIRST_DELAY = timedelta(seconds=10)
LONGEST_DELAY = timedelta(minutes=5)

BRIEF = timedelta(minutes=10)
"""An attempt that was interrupted sooner than this has hardly got anywhere."""

MAX_INTERRUPTED = 50
"""How many interrupted attempts are kept in the status; counted ones are all kept."""


class Result(StrEnum):
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    INTERRUPTED = "Interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at a run, as far as it is known."""

    number: int
    name: str
    """Of its Job, ConfigMap and Service."""
    start: datetime
    end: datetime | None = None
    result: Result = Result.RUNNING
    failure: Failure | None = None
    exit_code: int | None = None
    last_step: int | None = None
    """The last optimizer step that is known to have been taken."""
    resumed_from_step: int | None = None
    steps_lost: int | None = None
    """Steps that were taken and are in no checkpoint; known late where nobody could say."""

    @property
    def is_counted(self) -> bool:
        """Whether it uses up one of the attempts that may fail."""
        return self.result is Result.FAILED


def parse_attempts(status: Body) -> tuple[Attempt, ...]:
    return tuple(_parse(record) for record in status.get("attempts", ()))


def render_attempts(attempts: Sequence[Attempt]) -> list[Manifest]:
    """The records, without the oldest interrupted ones where those are many."""
    interrupted = [attempt for attempt in attempts if attempt.result is Result.INTERRUPTED]
    dropped = {attempt.number for attempt in interrupted[:-MAX_INTERRUPTED]}
    return [_render(attempt) for attempt in attempts if attempt.number not in dropped]


def count_failed(attempts: Sequence[Attempt]) -> int:
    return sum(attempt.is_counted for attempt in attempts)


def next_start(attempts: Sequence[Attempt]) -> datetime | None:
    """When the next attempt may start, from recorded times alone: a restart changes nothing.

    10 s after the first counted failure, then twice as long each time, at most 5 minutes. After an
    interruption at once, unless brief interrupted attempts follow one another.
    """
    last = attempts[-1] if attempts else None
    if last is None or last.end is None:
        return None
    if last.is_counted:
        return last.end + _delay(count_failed(attempts))
    return last.end + _delay(_count_brief_at_end(attempts) - 1)


def _delay(failures: int) -> timedelta:
    if failures < 1:
        return timedelta()
    # The exponent is bounded, or a long history would overflow.
    doublings: int = min(failures - 1, 10)
    return min(FIRST_DELAY * (1 << doublings), LONGEST_DELAY)


def _count_brief_at_end(attempts: Sequence[Attempt]) -> int:
    count = 0
    for attempt in reversed(attempts):
        is_brief = attempt.end is not None and attempt.end - attempt.start < BRIEF
        if attempt.result is not Result.INTERRUPTED or not is_brief:
            break
        count += 1
    return count


def _parse(record: Body) -> Attempt:
    blame = record.get("blame")
    failure = None
    if blame is not None:
        failure = Failure(
            blame=Blame(blame),
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
    )


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
    }
    if attempt.failure is not None:
        record |= {
            "blame": attempt.failure.blame.value,
            "reason": attempt.failure.reason,
            "message": attempt.failure.message,
            "remedy": attempt.failure.remedy or None,
            "trainerPhase": attempt.failure.phase or None,
            "rank": attempt.failure.rank,
        }
    return {name: value for name, value in record.items() if value is not None}
