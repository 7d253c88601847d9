# SPDX-License-Identifier: Apache-2.0
"""Definitions as statuses record them, for operators of today and of before. No I/O here.

An operator before 0.2 knew ten digits of the hash, too few to decide by: two specs that share them
are found in seconds. The ten digits stay in their field, so that neither an upgrade nor a way back
takes an unchanged spec for another one and trains again; beside them stands the whole hash, and
where that is, it decides.
"""

from collections.abc import Mapping
from typing import Any

SHORT = 10


def read_definition(record: Mapping[str, Any]) -> str | None:
    """What a status or an attempt's record says; None where it says nothing."""
    short, whole = record.get("definition"), record.get("definitionDigest")
    # An older operator that wrote in between knows nothing of the whole one.
    is_whole = isinstance(whole, str) and (not short or whole.startswith(short))
    return whole if is_whole else short


def render_definition(definition: str) -> dict[str, str | None]:
    is_whole = len(definition) > SHORT
    return {
        "definition": definition[:SHORT] or None,
        "definitionDigest": definition if is_whole else None,
    }


def is_same_definition(known: str, definition: str) -> bool:
    """Whether a record speaks of this definition.

    A short one of an older operator stands for the whole ones that begin with it: an upgrade must
    neither end what runs nor train again what has ended. The next status has the whole one, and
    nothing starts by this alone: the guard rails are checked before every attempt.
    """
    is_short = len(known) == SHORT
    return known == definition or (is_short and definition.startswith(known))
