# SPDX-License-Identifier: Apache-2.0
"""The type of a decision. No I/O here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from finetune_contract.outcome import Failure
from finetune_operator.objects.names import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The state to record for a job, and the actions to take."""

    phase: Phase
    reason: str
    message: str
    attempt_to_start: int | None = None
    adjustments: Mapping[str, Any] = field(default_factory=dict)
    """Config keys that the attempt sets differently from the user."""
    failure: Failure | None = None
    """The final failure of the job."""
    stop: Failure | None = None
    """Why to end the running attempt: recorded now, carried out in the next pass."""
    job_to_delete: str | None = None
    """The Job of an attempt that is ending or has ended; the reason is already recorded."""
    is_repaired: bool = False
    """Whether missing objects that the pods need are created again."""
    check_again_in: timedelta | None = None
    """When to check again, for deadlines that cause no event."""


def joined(message: str, more: str) -> str:
    return f"{message}; {more}" if more else message
