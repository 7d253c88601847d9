# SPDX-License-Identifier: Apache-2.0
"""The types of values. No I/O here.

A check of this table takes one value: its key as TRL has it and as the user wrote it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from finetune_contract.config.problem import Problem, quoted
from finetune_contract.config.schema import Schema


def check_type(key: str, name: str, value: Any, schema: Schema) -> Iterator[Problem]:
    types = schema.types(key)
    if "enum" in schema.properties[key]:
        return  # choices.py names the choices, which says more
    if types and not any(_is_of_type(value, kind) for kind in types):
        wanted = " or ".join(_WORDS[kind] for kind in types if kind != "null")
        yield Problem(path=name, message=f"found {quoted(value)}, expected {wanted}")


_WORDS = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "array": "a list",
    "object": "a mapping",
}


def _is_of_type(value: Any, kind: str) -> bool:
    match kind:
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            # JSON may make 8.0 of 8.
            return is_number(value) and float(value).is_integer()
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
