# SPDX-License-Identifier: Apache-2.0
"""Checks a config against the schema of the pinned TRL: the operator's way without torch.

The schema (`sft_config.schema.json`) is generated from TRL's dataclasses by `make generate`.
Each check is a function from config and schema to problems; `CHECKS` is the list of them.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

SCHEMA_FILE = "sft_config.schema.json"

OPERATOR_OWNED = {
    "output_dir": "set spec.output.uri instead",
    "resume_from_checkpoint": "every attempt resumes from the newest complete checkpoint",
}
"""Keys that would work against the operator, and what to do instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with one key of a config, in one sentence."""

    key: str
    message: str
    """Says what was found, what was expected and the nearest right thing."""


@cache
def load_schema() -> Mapping[str, Any]:
    """The JSON Schema that ships with this package."""
    text = resources.files(__package__).joinpath(SCHEMA_FILE).read_text(encoding="utf-8")
    schema: Mapping[str, Any] = json.loads(text)
    return schema


def check_config(config: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Everything that is wrong with this config, in the order of its keys."""
    properties: Mapping[str, Any] = load_schema()["properties"]
    found = [problem for check in CHECKS for problem in check(config, properties)]
    order = {key: place for place, key in enumerate(config)}
    return tuple(sorted(found, key=lambda problem: order.get(problem.key, len(order))))


def check_unknown_keys(
    config: Mapping[str, Any], properties: Mapping[str, Any]
) -> Iterator[Problem]:
    for key in config:
        if key in properties or key in OPERATOR_OWNED:
            continue
        nearest = difflib.get_close_matches(key, properties, n=1)
        hint = f": did you mean {nearest[0]}?" if nearest else ""
        yield Problem(key=key, message=f"{key} is not a key of TRL's SFT config{hint}")


def check_owned_keys(config: Mapping[str, Any], properties: Mapping[str, Any]) -> Iterator[Problem]:
    for key, instead in OPERATOR_OWNED.items():
        if key in config:
            yield Problem(key=key, message=f"{key} belongs to the operator: {instead}")


def check_types(config: Mapping[str, Any], properties: Mapping[str, Any]) -> Iterator[Problem]:
    for key, value in config.items():
        expected = properties.get(key, {}).get("type")
        if expected is None or "enum" in properties[key]:
            continue
        kinds = [expected] if isinstance(expected, str) else expected
        if not any(_is_of_kind(value, kind) for kind in kinds):
            wanted = " or ".join(kind for kind in kinds if kind != "null")
            yield Problem(key=key, message=f"{key} is {json.dumps(value)}, expected {wanted}")


def check_choices(config: Mapping[str, Any], properties: Mapping[str, Any]) -> Iterator[Problem]:
    for key, value in config.items():
        choices = properties.get(key, {}).get("enum")
        if not choices or value in choices:
            continue
        named = [choice for choice in choices if isinstance(choice, str)]
        nearest = difflib.get_close_matches(str(value), named, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"expected one of {', '.join(named)}"
        if value is False and "no" in choices:
            hint = 'write "no" in quotes, since YAML reads the bare word as false'
        yield Problem(key=key, message=f"{key} is {json.dumps(value)}: {hint}")


def check_model_and_data(
    config: Mapping[str, Any], properties: Mapping[str, Any]
) -> Iterator[Problem]:
    if not config.get("model_name_or_path"):
        yield Problem(
            key="model_name_or_path",
            message="model_name_or_path is missing: the model to fine-tune, "
            "e.g. a hub name or an s3:// URI",
        )
    if not config.get("dataset_name") and not config.get("datasets"):
        yield Problem(
            key="dataset_name",
            message="dataset_name is missing: the data to train on, "
            "e.g. a hub name or an s3:// URI",
        )


CHECKS = (
    check_unknown_keys,
    check_owned_keys,
    check_types,
    check_choices,
    check_model_and_data,
)


def _is_of_kind(value: Any, kind: str) -> bool:
    match kind:
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            number = _number(value)
            return number is not None and number.is_integer()
        case "number":
            return _number(value) is not None
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, Mapping)
        case "null":
            return value is None
    raise ValueError(f"the schema has a type that is not JSON Schema's: {kind}")


def _number(value: Any) -> float | None:
    """The number that TRL's parser would read: it converts strings (`"1e-4"`) too."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None
