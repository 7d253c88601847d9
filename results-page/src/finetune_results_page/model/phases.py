# SPDX-License-Identifier: Apache-2.0
"""The phases of a job in the order of its life, and how the page shows them."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a phase is shown. The word is always visible, so that nothing depends on a colour."""

    tone: str
    """A class of the style sheet: good, bad, active, waiting or still."""
    icon: str
    """A name in `pages.icons`."""
    has_reason: bool = False
    """Whether the reason of the condition Ready explains more than the phase."""


LOOKS: Final = {
    "Pending": Look(tone="waiting", icon="clock", has_reason=True),
    "Queued": Look(tone="waiting", icon="queue", has_reason=True),
    "Starting": Look(tone="active", icon="start"),
    "Running": Look(tone="active", icon="run"),
    "Publishing": Look(tone="active", icon="upload"),
    "Retrying": Look(tone="warning", icon="retry", has_reason=True),
    "Suspended": Look(tone="still", icon="pause", has_reason=True),
    "Succeeded": Look(tone="good", icon="check"),
    "Failed": Look(tone="bad", icon="cross", has_reason=True),
}
"""In the order of a job's life, which is also that of the list sorted by phase."""

FIRST: Final = "Pending"
"""For a job whose status has no phase yet."""

UNKNOWN: Final = Look(tone="still", icon="unknown", has_reason=True)
"""For a phase of a newer operator."""


def look_of(phase: str) -> Look:
    return LOOKS.get(phase, UNKNOWN)


def place_of(phase: str) -> int:
    """The position of a phase in a job's life; unknown ones are last."""
    return list(LOOKS).index(phase) if phase in LOOKS else len(LOOKS)
