# SPDX-License-Identifier: Apache-2.0
"""A decision, as the rules make it. No I/O here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from finetune_contract.outcome import Failure
from finetune_operator.objects.names import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a job is said to be doing, and what is done about it."""

    phase: Phase
    reason: str
    message: str
    attempt_to_start: int | None = None
    adjustments: Mapping[str, Any] = field(default_factory=dict)
    """What that attempt sets otherwise than the config."""
    failure: Failure | None = None
    """Why the job has failed for good."""
    stop: Failure | None = None
    """Why the attempt under way is to end: recorded now, carried out in the next pass."""
    job_to_delete: str | None = None
    """The Job of an attempt that is to end or has ended; the reason is recorded."""
    is_repaired: bool = False
    """Whether what the pods need is made again, where it is missing."""
    check_again_in: timedelta | None = None
    """When something is due that no event will tell of."""


def joined(message: str, more: str) -> str:
    return f"{message}; {more}" if more else message
