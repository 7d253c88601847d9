# SPDX-License-Identifier: Apache-2.0
"""Prints the config's JSON Schema, generated from the dataclasses of the pinned TRL.

`make generate` writes it into the contract, so that the operator can check a config without torch.
Imports TRL, and torch with it: nothing else may import this module.
"""

import dataclasses
import enum
import inspect
import json
import re
import types
import typing
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any, Literal

from trl import TrlParser

from finetune_trainer.ranks.arguments import CONFIG_TYPES

ENV_PROPERTY = {
    "type": ["object"],
    "description": "Environment variables that are set before training starts.",
}
"""`TrlParser` handles this key itself: it is no field of a dataclass."""

_ALSO_TAKES = {
    # One column of an entry of `datasets`.
    "columns": ("string",),
    "fsdp": ("boolean", "array"),
    # `all-linear`, or a regular expression.
    "lora_target_modules": ("string",),
    # `auto`, which the supervisor replaces by a number.
    "per_device_train_batch_size": ("string",),
}
"""Types that TRL, transformers, or the supervisor accept in addition to the annotations."""

_ALSO_MEANS = {
    "per_device_train_batch_size": "auto: the largest that fits the GPU's memory; "
    "gradient_accumulation_steps is then the number of rows per step and process.",
}
"""The explanations for these types, which the help texts lack."""

_JSON_TYPES: Mapping[Any, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    types.NoneType: "null",
}


def build_schema() -> dict[str, Any]:
    """The schema of all keys of a config; sorted, so that differences are only in content."""
    properties = {name: schema for kind in CONFIG_TYPES for name, schema in _properties_of(kind)}
    properties["env"] = ENV_PROPERTY
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "TRL SFT config",
        "x-trl-version": metadata.version("trl"),
        "x-transformers-version": metadata.version("transformers"),
        "type": "object",
        "properties": dict(sorted(properties.items())),
        "additionalProperties": False,
    }


def _properties_of(kind: type[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    hints = typing.get_type_hints(kind)
    choices = {action.dest: action.choices for action in TrlParser(kind)._actions}
    for field in dataclasses.fields(kind):
        yield field.name, _property_of(field, hints[field.name], choices[field.name])


def _property_of(field: dataclasses.Field[Any], hint: Any, choices: Any) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    json_types = _json_types(hint)
    if field.name in _ALSO_TAKES:
        place = len(json_types) - ("null" in json_types)
        json_types[place:place] = _ALSO_TAKES[field.name]
    if json_types:
        schema["type"] = json_types
    if items := _items_of(hint):
        schema["items"] = items
    if text := field.metadata.get("help"):
        text = " ".join((text, _ALSO_MEANS.get(field.name, "")))
        schema["description"] = " ".join(text.split()).replace("%%", "%")  # argparse's escape.
    if (default := _default_of(field)) is not None:
        schema["default"] = default
    if choices is not None:
        schema["enum"] = [*choices, *([None] if "null" in json_types else [])]
    return schema


def _json_types(hint: Any) -> list[str]:
    """The JSON types that TRL parses into this type, `null` last; empty if there are none."""
    found = [_json_type(member) for member in _members(hint)]
    if None in found:
        return []
    unique = dict.fromkeys(name for name in found if name is not None)
    return sorted(unique, key=lambda name: name == "null")


def _items_of(hint: Any) -> dict[str, Any]:
    """The items of this type's lists; empty if it has none, or has no item type."""
    for member in _members(hint):
        if typing.get_origin(member) is list:
            (item,) = typing.get_args(member)
            return _mapping(item) if dataclasses.is_dataclass(item) else {"type": _json_types(item)}
    return {}


def _mapping(kind: Any) -> dict[str, Any]:
    """A mapping that becomes this dataclass, such as the entries of `datasets`."""
    hints = typing.get_type_hints(kind)
    fields = dataclasses.fields(kind)
    required = [
        field.name
        for field in fields
        if field.default is field.default_factory is dataclasses.MISSING
    ]
    texts = dict(_documented(kind))
    return {
        "type": ["object"],
        "properties": {
            field.name: _property_of(field, hints[field.name], None)
            | {"description": texts[field.name]}
            for field in fields
        },
        "required": required,
        "additionalProperties": False,
    }


def _documented(kind: Any) -> Iterator[tuple[str, str]]:
    """The docstring's text for each field without metadata."""
    paragraph = r"^    (\w+) \(.*\):\n((?:        .*\n?)+)"
    for name, text in re.findall(paragraph, inspect.getdoc(kind) or "", re.MULTILINE):
        yield name, " ".join(text.split())


def _members(hint: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def _json_type(hint: Any) -> str | None:
    origin = typing.get_origin(hint)
    if origin is Literal:
        return _JSON_TYPES[type(typing.get_args(hint)[0])]
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return "string"
    return _JSON_TYPES.get(origin or hint)


def _default_of(field: dataclasses.Field[Any]) -> Any:
    default = field.default
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    if default is dataclasses.MISSING:
        return None
    return default.value if isinstance(default, enum.Enum) else default


if __name__ == "__main__":
    print(json.dumps(build_schema(), indent=2))
