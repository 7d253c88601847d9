# SPDX-License-Identifier: Apache-2.0
"""find_zone: resolves a name of the IANA time zone database.

Reads the machine's database or, without one, the package tzdata.
"""

import re
import zoneinfo
from functools import cache
from zoneinfo import ZoneInfo

from finetune_spec.config.problem import did_you_mean, quoted

_PART = re.compile(r"[A-Za-z._0-9+][A-Za-z._0-9+-]{0,13}")

_LONGEST = 100
"""Characters."""

UTC = "UTC"
"""The time zone of a schedule without one, wherever the operator runs."""


def find_zone(name: str) -> ZoneInfo:
    """
    Raises:
        ValueError: there is no zone of this name.
    """
    if name.lower() == "local":
        raise ValueError(f"found {quoted(name)}, expected a time zone such as Europe/Berlin")
    if len(name) > _LONGEST:
        raise ValueError(f"found {quoted(name)}, expected a name such as Europe/Berlin or UTC")
    parts = name.split("/")
    is_name = all(_PART.fullmatch(part) and part not in (".", "..") for part in parts)
    try:
        if is_name:
            return ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise ValueError(f"found {quoted(name)}{_hint(name)}")


def _hint(name: str) -> str:
    return did_you_mean(name, _known_names()) or ", expected a name such as Europe/Berlin or UTC"


@cache
def _known_names() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
