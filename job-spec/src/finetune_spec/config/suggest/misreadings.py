# SPDX-License-Identifier: Apache-2.0
"""The intended value behind one of the wrong type, and how to write it in YAML. No I/O here.

The tool that wrote the YAML may read other words as numbers, booleans and nulls than the reader
does: PyYAML, and with it many template tools, reads a bare 1e-4 as text; YAML 1.1 reads a bare
`on`, `no` or `yes` as true or false.
"""

import difflib
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from finetune_spec.config.problem import quoted

NULL_WORDS = frozenset(("", "none", "null", "nil", "~"))
TRUE_WORDS = frozenset(("true", "yes", "on", "y", "t", "1"))
WRITE_NULL = "write null, YAML's word for none"
FALSE_WORDS = frozenset(("false", "no", "off", "n", "f", "0"))

_NUMBER = re.compile(r"([-+]?)(\d+)?(\.\d*)?(?:[eE]([-+]?)(\d+))?")
_GROUPED = re.compile(r"[-+]?(\d+(_\d+)+|[1-9]\d{0,2}([, ]\d{3})+)")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
_PERCENT = re.compile(r"([-+]?\d+(?:\.\d+)?) ?%")
_KILO = re.compile(r"(\d+(?:\.\d+)?) ?[kK]")
_WITH_UNIT = re.compile(r"[-+]?\d+(\.\d+)? ?[A-Za-z]+")
_CALCULATION = re.compile(r"[-+]?\d[\d.]*+(?:\s*+[-+*/x^]++\s*+\(?-?\d[\d.]*+\)?)+")
_POWER = re.compile(r"([-+]?\d+(?:\.\d+)?)\s*[*x\u00d7]\s*10\s*(?:\^|\*\*)\s*\(?([-+]?\d+)\)?")
_PLACEHOLDER = re.compile(r"\$\{?\w|\{\{|<\w+>")
_LONGEST_HINTED = 300
"""Characters. A longer text was not meant as a number or a name."""

_TYPOGRAPHY = str.maketrans(
    {"\u2212": "-", "\u2013": "-", **dict.fromkeys("\u201c\u201d\u2018\u2019", "")}
)
"""The characters that word processors use in place of a minus and of quotes."""
_WORDS = re.compile(r"[\w.\-]+(\s*[,;]\s*|\s+)[\w.\-]+((\s*[,;]\s*|\s+)[\w.\-]+)*")


def hint_for_text(text: str, types: Collection[str]) -> str:
    """The value to write instead of a text for one of these types; empty if unknown."""
    word = text.strip()
    if len(word) > _LONGEST_HINTED:
        return ""
    if _PLACEHOLDER.search(word):
        return "fill in the variable first"
    if word.lower() in NULL_WORDS:
        return WRITE_NULL if "null" in types else "leave the key out"
    if word.lower() == "auto":
        return "leave the key out for TRL's own choice"
    readings = (
        ("boolean", _boolean_hint),
        ("number", _number_hint),
        ("integer", _whole_number_hint),
        ("array", _list_hint),
        ("object", _mapping_hint),
    )
    tidy = word.translate(_TYPOGRAPHY).rstrip(",;")
    for candidate in dict.fromkeys((word, tidy)):
        for kind, read in readings:
            if kind in types and (hint := read(candidate)):
                return hint if candidate == word else f"write {tidy}"
    return ""


def hint_for_boolean(value: bool, types: Collection[str]) -> str:
    """The value to write instead of true or false, which may have been another word in the file."""
    if not _is_text_alone(types):
        return ""
    words = "yes, on and true" if value else "no, off and false"
    return f"put the word in quotes, since YAML reads {words} alike"


def hint_for_number(value: float, types: Collection[str]) -> str:
    if _is_text_alone(types):
        return "put it in quotes"
    if "boolean" in types and value in (0, 1):
        return f"write {quoted(bool(value))}"
    return ""


def hint_for_list(value: list[Any], types: Collection[str]) -> str:
    if len(value) == 1 and not isinstance(value[0], list | Mapping):
        return "write one value, without brackets or a dash"
    return ""


def _is_text_alone(types: Collection[str]) -> bool:
    """Whether a text is required, and neither a list nor a mapping nor a number is accepted."""
    return set(types) <= {"string", "null"}


def names_in(text: str) -> list[str]:
    """The names in a text that lists some, separated by commas or blanks; else empty."""
    return re.split(r"[\s,;]+", text.strip()) if _WORDS.fullmatch(text.strip()) else []


def _boolean_hint(word: str) -> str:
    if word.lower() in TRUE_WORDS:
        return "write true, without quotes"
    if word.lower() in FALSE_WORDS:
        return "write false, without quotes"
    nearest = difflib.get_close_matches(word.lower(), ("true", "false"), n=1)
    return f"write {nearest[0]}" if nearest else ""


def _number_hint(word: str) -> str:
    number = _NUMBER.fullmatch(word)
    if number and (number[2] or number[3]):
        return _exponent_hint(number) if number[5] else "remove the quotes"
    if _GROUPED.fullmatch(word):
        return f"write {re.sub('[_, ]', '', word)}"
    if _DECIMAL_COMMA.fullmatch(word):
        return f"write {word.replace(',', '.')}"
    if percent := _PERCENT.fullmatch(word):
        return f"write {float(percent[1]) / 100:g}"
    return _unit_hint(word)


def _whole_number_hint(word: str) -> str:
    number = _NUMBER.fullmatch(word)
    if number and (number[2] or number[3]):
        value = float(word)
        if not value.is_integer():
            return ""
        return f"write {int(value)}" if number[3] or number[5] else "remove the quotes"
    if _GROUPED.fullmatch(word):
        return f"write {re.sub('[_, ]', '', word)}"
    return _unit_hint(word)


def _exponent_hint(number: re.Match[str]) -> str:
    sign, whole, fraction, exponent_sign, exponent = number.groups()
    fraction = fraction if fraction and fraction != "." else ".0"
    plain = f"{sign}{whole or '0'}{fraction}e{exponent_sign or '+'}{exponent}"
    if plain == number[0]:
        return "remove the quotes"
    return f"write {plain} without quotes, since some YAML parsers read {number[0]} as a string"


def _unit_hint(word: str) -> str:
    if power := _POWER.fullmatch(word):
        return f"write {float(power[1])}e{power[2]}"
    if _CALCULATION.fullmatch(word):
        return "write the result, since YAML does not calculate"
    if kilo := _KILO.fullmatch(word):
        return f"write the number in full, such as {float(kilo[1]) * 1024:.0f}"
    return "write the number alone, without a unit" if _WITH_UNIT.fullmatch(word) else ""


def _list_hint(word: str) -> str:
    if word.startswith("["):
        return "remove the quotes"
    names = names_in(word) or [word]
    return f"write {json.dumps(names, ensure_ascii=False)}"


def _mapping_hint(word: str) -> str:
    return "remove the quotes" if word.startswith("{") else ""
