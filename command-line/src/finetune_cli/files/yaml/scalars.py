# SPDX-License-Identifier: Apache-2.0
"""The value of a YAML word for kubectl, and so for the API server. No I/O here.

kubectl reads YAML 1.1 with Go's yaml.v2 and sends JSON. That differs from PyYAML for common values:
`1e-4` is a number, `y` is true, `1:30` and `2026-01-02` are texts, `08` is 8.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from yaml.events import ScalarEvent

TAG_PREFIX = "tag:yaml.org,2002:"

_WORDS: dict[str, bool | None] = {
    **{text: True for word in ("y", "yes", "true", "on") for text in (word, word.title())},
    **{text: False for word in ("n", "no", "false", "off") for text in (word, word.title())},
    **dict.fromkeys(("Y", "YES", "TRUE", "ON"), True),
    **dict.fromkeys(("N", "NO", "FALSE", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|([1-9][0-9]*|0))")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LARGEST_INTEGER = 2**63


class UnreadableScalar(ValueError):
    """A word that cannot be sent to the API server; the message has the reason."""


def value_of(event: ScalarEvent) -> Any:
    """
    Raises:
        UnreadableScalar: the value cannot be sent to the API server.
    """
    tag = (event.tag or "").removeprefix(TAG_PREFIX)
    if not tag:
        return _plain_value(event.value) if event.implicit[0] else event.value
    if tag in ("str", "!", "timestamp"):
        return event.value
    if tag not in _TAGGED:
        raise UnreadableScalar(f"found the tag {event.tag}, expected a plain value")
    value = _plain_value(event.value)
    if not _TAGGED[tag](value):
        raise UnreadableScalar(f'found "{event.value}" with the tag !!{tag}, which it is not')
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TAGGED: Mapping[str, Callable[[Any], bool]] = {
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: _is_number(value) and value == int(value),
    "float": _is_number,
    "null": lambda value: value is None,
}


def _plain_value(text: str) -> Any:
    """The value of a word without quotes."""
    if text in _WORDS:
        return _WORDS[text]
    if _INFINITE.fullmatch(text):
        raise UnreadableScalar(f"found {text}, expected a finite number: JSON has no other")
    # Go removes underscores, but not after a leading dot.
    digits = text if text.startswith(".") else text.replace("_", "")
    if text[0] not in "+-.0123456789":
        return text
    if found := _INTEGER.fullmatch(digits):
        return _within_json(_integer(found))
    if _FLOAT.fullmatch(digits):
        number = float(digits)
        return _within_json(number) if math.isfinite(number) else text
    return text


def _integer(found: re.Match[str]) -> int:
    sign, hexadecimal, binary, octal, decimal = found.groups()
    for group, base in ((hexadecimal, 16), (binary, 2), (octal, 8)):
        if group is not None:
            return int(sign + group, base)
    return int(sign + decimal)


def _within_json(number: float) -> int | float:
    """The number that arrives: JSON does not distinguish 8.0 from 8, and an integer has 64 bits."""
    if abs(number) >= _LARGEST_INTEGER:
        return float(number)
    return int(number) if number == int(number) else number
