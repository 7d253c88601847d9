# SPDX-License-Identifier: Apache-2.0
"""Definitions as statuses record them, of this and older operators. No I/O here.

An operator before 0.2 recorded ten digits of the hash, too few to decide by: two specs that share
them can be found in seconds. The ten digits stay in their field, so that neither an upgrade nor a
downgrade takes an unchanged spec for a new one and trains again. The complete hash is in a second
field and, if present, decides.
"""

from collections.abc import Mapping
from typing import Any

SHORT = 10


def read_definition(record: Mapping[str, Any]) -> str | None:
    """The definition recorded in a status or an attempt; None if there is none."""
    short, whole = record.get("definition"), record.get("definitionDigest")
    # An older operator that wrote in between does not update the complete hash.
    is_current = isinstance(whole, str) and (not short or whole.startswith(short))
    return whole if is_current else short


def is_whole(definition: str) -> bool:
    return len(definition) > SHORT


def render_definition(definition: str) -> dict[str, str | None]:
    return {
        "definition": definition[:SHORT] or None,
        "definitionDigest": definition if is_whole(definition) else None,
    }


def is_same_definition(known: str, definition: str) -> bool:
    """Whether a record is of this definition.

    A short hash of an older operator matches all complete hashes that begin with it: an upgrade
    must neither end a running attempt nor repeat a finished one. The next status has the complete
    hash, and nothing starts because of this match alone: the guard rails are checked before every
    attempt.
    """
    is_short = len(known) == SHORT
    return known == definition or (is_short and definition.startswith(known))
