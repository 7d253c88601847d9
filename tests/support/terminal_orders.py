# SPDX-License-Identifier: Apache-2.0
"""Texts of an attacker for places that a person reads, in a terminal or in a log."""

import unicodedata
from collections.abc import Mapping

ORDERS: Mapping[str, str] = {
    "clear the screen": "\x1b[2J",
    "move up and write over": "\x1b[1A\x1b[2K",
    "a title": "\x1b]0;pwned\x07",
    "a link": "\x1b]8;;https://example.com\x1b\\here\x1b]8;;\x1b\\",
    "the clipboard": "\x1b]52;c;cm0gLXJmIH4=\x07",
    "CSI in 8 bits": "\x9b2J",
    "OSC in 8 bits": "\x9d8;;https://example.com\x9c",
    "DCS in 8 bits": "\x90q\x9c",
    "a bell": "\x07",
    "backspaces": "good\x08\x08\x08\x08bad",
    "a carriage return": "bad\rgood",
    "DEL": "\x7f",
    "NUL": "\x00",
    "a vertical tab": "\x0b",
    "a next line": "\x85",
    "a line separator": "\u2028",
    "a paragraph separator": "\u2029",
    "an override of direction": "\u202egnp.sh",
    "an isolate of direction": "\u2067gnp.sh\u2069",
    "a mark of direction": "\u200f\u061c",
    "tag characters": "\U000e0041\U000e0042",
    "half a pair": "\ud800",
    "the other half": "\udfff",
}
"""By their effect on a terminal, or their character."""

ALL_ORDERS = "".join(ORDERS.values())

_OF_ORDERS = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Control, format, surrogate, line separator, paragraph separator: from Unicode, not from our
rule.
"""


def orders_in(text: str, *, allowed: str = "\n") -> list[str]:
    """The characters that a terminal or a reader of lines would interpret."""
    return [it for it in text if it not in allowed and unicodedata.category(it) in _OF_ORDERS]
