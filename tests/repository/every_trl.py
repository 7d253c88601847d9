# SPDX-License-Identifier: Apache-2.0
"""The keys of a config in all known versions of TRL together: for the CRD and editors.

Differences between the versions are left to the check in job-spec, which uses the version of a
job's image.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_spec.config.check.keys import OPERATOR_OWNED
from finetune_spec.config.parse.schema import Schema, known_versions, load_schema

_WORDS = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "array": "a list",
    "object": "a mapping",
    "boolean": "true or false",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key, as wide as its widest version."""

    types: tuple[str, ...]
    """JSON types, `null` last; empty if values are beyond JSON Schema."""
    choices: tuple[Any, ...] | None
    """None if it is not one of a few."""
    items: Mapping[str, Any] | None
    """The items of its lists; None if unknown."""
    default: Any
    """The newest version's."""
    help: str
    """Its meaning, and its default."""


def every_key() -> dict[str, Key]:
    """Each key that any version has, in order."""
    return keys_of([load_schema(version) for version in known_versions()])


def keys_of(schemas: Sequence[Schema]) -> dict[str, Key]:
    """Each key of these schemas, of which the newest is the first."""
    names = sorted({name for schema in schemas for name in schema.properties})
    return {name: _key(name, schemas) for name in names}


def keys_of_items(items: Mapping[str, Any]) -> dict[str, Key]:
    """The keys of the mappings in a list."""
    required = items.get("required", ())
    return {
        name: _key_of(
            [definition],
            [*_sentences(definition, has_default=name not in required)],
        )
        for name, definition in items["properties"].items()
    }


def _key(name: str, schemas: Sequence[Schema]) -> Key:
    definitions = [schema.properties[name] for schema in schemas if name in schema.properties]
    if name in OPERATOR_OWNED:
        sentences = [f"Set by the operator: {OPERATOR_OWNED[name]}."]
    else:
        sentences = [*_sentences(definitions[0]), *_absences(name, schemas)]
    return _key_of(definitions, sentences)


def _key_of(definitions: Sequence[Mapping[str, Any]], sentences: Sequence[str]) -> Key:
    return Key(
        types=_types(definitions),
        choices=_choices(definitions),
        items=definitions[0].get("items"),
        default=definitions[0].get("default"),
        help=" ".join(sentences),
    )


def _types(definitions: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    if not all(definition.get("type") for definition in definitions):
        return ()
    found = dict.fromkeys(kind for definition in definitions for kind in definition["type"])
    return tuple(sorted(found, key=lambda kind: kind == "null"))


def _choices(definitions: Sequence[Mapping[str, Any]]) -> tuple[Any, ...] | None:
    if not all("enum" in definition for definition in definitions):
        return None
    found = dict.fromkeys(choice for definition in definitions for choice in definition["enum"])
    return tuple(sorted(found, key=lambda choice: choice is None))


def _sentences(newest: Mapping[str, Any], *, has_default: bool = True) -> Iterator[str]:
    if text := newest.get("description"):
        yield text if text.endswith(".") else f"{text}."
    kinds = [words for kind, words in _WORDS.items() if kind in newest.get("type", ())]
    if len(kinds) > 1:
        separator = ", " if "boolean" in newest["type"] else " or "
        yield f"Accepts {', '.join(kinds[:-1])}{separator}{kinds[-1]}."
    if None in newest.get("enum", ()):
        yield f"One of {', '.join(choice for choice in newest['enum'] if choice)}."
    if "no" in newest.get("enum", ()):
        yield 'Write "no" in quotes: YAML reads the bare word as false.'
    if has_default:
        yield f"Default: {_as_text(newest.get('default'))}."


def _absences(name: str, schemas: Sequence[Schema]) -> Iterator[str]:
    without = [schema.trl_version for schema in schemas if name not in schema.properties]
    if without:
        yield f"Not in images of TRL {' and '.join(without)}."


def _as_text(default: Any) -> str:
    return default if isinstance(default, str) and default else json.dumps(default)
