# SPDX-License-Identifier: Apache-2.0
"""The types of values. No I/O here.

A check of this table takes one value, with its key as in TRL and as the user wrote it.
"""

import math
import sys
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import Any

from finetune_spec.config.parse.reading import AUTO, MICRO_BATCH
from finetune_spec.config.parse.schema import Schema
from finetune_spec.config.problem import Problem, quoted
from finetune_spec.config.suggest import misreadings

BEYOND_YAML = {
    "parallelism_config": "set FSDP or DeepSpeed instead, with fsdp or deepspeed",
}
"""Keys whose values are Python objects."""

_SECRET = frozenset(("hub_token",))

_ELSEWHERE = frozenset(("env", "datasets"))
"""nested.py checks these in more detail."""

_OTHER_KEYS = {
    ("dataset_name", "a list"): (
        "expected one name: for several write datasets: [{path: ...}, {path: ...}]"
    ),
    ("dataset_test_split", "a number"): (
        "expected the name of a split: for a share write test_split_size"
    ),
}
"""Key and its value -> the key that the value is for."""

_NONE_OF_THEM = {"report_to": 'write "none" for no tracker'}
"""Keys that fail with null, whatever TRL annotates -> the value to write."""


def check_type(key: str, name: str, value: Any, schema: Schema) -> Iterator[Problem]:
    definition = schema.properties[key]
    if key in _ELSEWHERE or "enum" in definition:
        return  # choices.py lists the choices, which is more helpful.
    if key == MICRO_BATCH and "string" in schema.types(key):
        yield from _check_micro_batch(name, value, definition.get("default"))
        return
    if key in BEYOND_YAML and value is not None:
        yield Problem(path=name, message=f"cannot be set in YAML: {BEYOND_YAML[key]}")
    elif key in _NONE_OF_THEM and (value is None or value is False):
        yield Problem(path=name, message=f"found {quoted(value)}: {_NONE_OF_THEM[key]}")
    elif (advice := _OTHER_KEYS.get((key, kind_of(value)))) is not None:
        yield Problem(path=name, message=f"found {quoted(value)}, {advice}")
    elif message := wrong_type(
        value, schema.types(key), default=definition.get("default"), is_secret=key in _SECRET
    ):
        yield Problem(path=name, message=message)


def _check_micro_batch(name: str, value: Any, default: Any) -> Iterator[Problem]:
    """The trainer's schema also accepts texts for it, but only one is valid."""
    if value == AUTO:
        return
    if message := wrong_type(value, ("integer",), default=default):
        wanted = _WORDS["integer"]
        yield Problem(path=name, message=message.replace(wanted, f"{wanted} or {AUTO}", 1))


def wrong_type(
    value: Any, types: Collection[str], *, default: Any = None, is_secret: bool = False
) -> str:
    """The problem of a value's type; empty if there is none."""
    if not types:
        return ""
    if any(_is_of_type(value, kind) for kind in types):
        if isinstance(value, float) and not math.isfinite(value):
            return f"found {quoted(value)}, expected a finite number: JSON has no other"
        if isinstance(value, int) and abs(value) > sys.float_info.max:
            return f"found {quoted(value)}, expected a number of at most 308 digits"
        return ""
    wanted = " or ".join(_WORDS[kind] for kind in types if kind != "null")
    hint = _null_hint(default) if value is None else _hint(value, types)
    found = kind_of(value) if is_secret else quoted(value)
    if hint and not is_secret and (isinstance(value, str | date) or is_number(value)):
        # A text that looks like a number needs an explanation.
        found += f", {kind_of(value)}"
    return f"found {found}, expected {wanted}" + (f": {hint}" if hint else "")


def _null_hint(default: Any) -> str:
    hint = "leave the key out"
    return hint if default is None else f"{hint} for the default, {quoted(default)}"


def _hint(value: Any, types: Collection[str]) -> str:
    if isinstance(value, bool):
        return misreadings.hint_for_boolean(value, types)
    if isinstance(value, int | float):
        return misreadings.hint_for_number(value, types)
    if isinstance(value, str):
        return misreadings.hint_for_text(value, types)
    if isinstance(value, list):
        return misreadings.hint_for_list(value, types)
    if isinstance(value, date) and "string" in types:
        return "put it in quotes"
    return ""


def kind_of(value: Any) -> str:
    """The kind of a value in a word, for messages that must not show it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case date():
            return "a date"
        case Mapping():
            return "a mapping"
    return "a list"


_WORDS = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "a string",
    "array": "a list",
    "object": "a mapping",
}


def _is_of_type(value: Any, kind: str) -> bool:
    match kind:
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            # JSON may turn 8 into 8.0.
            return is_number(value) and (isinstance(value, int) or value.is_integer())
        case "number":
            return is_number(value)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, Mapping)
        case "null":
            return value is None
    raise ValueError(f"the schema has a type that is not JSON Schema's: {kind}")


def is_number(value: Any) -> bool:
    # bool is a subclass of int.
    return isinstance(value, int | float) and not isinstance(value, bool)


VALUE_CHECKS = (check_type,)
