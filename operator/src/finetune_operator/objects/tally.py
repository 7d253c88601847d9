# SPDX-License-Identifier: Apache-2.0
"""The increments of one change of a job for counters that outlive the job. No I/O here."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """No field is ever negative: counters only grow."""

    used_seconds: float = 0.0
    """GPU time of attempts that have ended."""
    wasted_seconds: float = 0.0
    """The wasted part of it, as soon as that is certain."""
    result: str = ""
    """How the job ended, if it did now: Succeeded, Failed or Deleted."""
    reason: str = ""
    """Why it failed."""

    def __bool__(self) -> bool:
        return bool(self.used_seconds or self.wasted_seconds or self.result)


NOTHING = Tally()

Series = tuple[str, tuple[str, ...]]
"""A counter and the values of its labels, of which the first is the namespace."""
