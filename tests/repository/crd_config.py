# SPDX-License-Identifier: Apache-2.0
"""The properties of `spec.config` in the CRD: the text of `kubectl explain` about TRL's keys.

`make generate` writes them; a test compares. They contain the checks that an API server supports,
fewer than JSON Schema: it requires one type per field.
"""

import re
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from finetune_spec.config.bounds import MAX_TEXT
from finetune_spec.config.parse.spellings import OLDER
from repository.every_trl import Key, every_key, keys_of_items

CRD = Path(__file__).parents[2] / "crds" / "finetunejobs.yaml"

_BLOCK = re.compile(
    r"^( *)(# Generated from TRL's dataclasses[^\n]*\n).*?^ *(# End of what is generated\n)",
    re.DOTALL | re.MULTILINE,
)
_WIDTH = 96

_TEXT = {"type": "string", "maxLength": MAX_TEXT}
_ANYTHING = {"x-kubernetes-preserve-unknown-fields": True}


def with_properties(crd: str) -> str:
    """The text with the correct properties of config."""

    def rewritten(block: re.Match[str]) -> str:
        indent, begin, end = block.groups()
        generated = _as_yaml({"properties": config_properties()}, _WIDTH - len(indent))
        return f"{indent}{begin}{textwrap.indent(generated, indent)}{indent}{end}"

    return _BLOCK.sub(rewritten, crd)


def config_properties() -> dict[str, Any]:
    """Each key and each older spelling with its schema, in order."""
    keys = every_key()
    older = {
        old: _property_of(replace(keys[new], help=f"Older spelling of {new}."))
        for old, new in OLDER.items()
        if old not in keys
    }
    return dict(sorted((properties_of(keys) | older).items()))


def properties_of(keys: Mapping[str, Key]) -> dict[str, Any]:
    """The checks of these keys that an API server supports, with their descriptions."""
    return {name: _property_of(key) for name, key in keys.items()}


def _property_of(key: Key) -> dict[str, Any]:
    # Nullable, because the API server silently drops a null from any other field; and without a
    # `default`, which it would write into every job.
    return {"description": key.help} | _type_of(key) | {"nullable": True}


def _type_of(key: Key) -> dict[str, Any]:
    kinds = set(key.types) - {"null"}
    if kinds == {"integer", "string"}:
        return {"x-kubernetes-int-or-string": True}
    if kinds == {"integer", "number"}:
        return {"type": "number"}
    if len(kinds) != 1:
        return _ANYTHING
    (kind,) = kinds
    match kind:
        case "array":
            return {"type": kind, "items": _items_of(key)}
        case "object":
            return {"type": kind} | _ANYTHING
    # If null is a choice, the API server refuses it although it is in the list.
    has_list = key.choices is not None and None not in key.choices
    if has_list:
        return {"type": kind, "enum": list(key.choices or ())}
    return _TEXT if kind == "string" else {"type": kind}


def _items_of(key: Key) -> dict[str, Any]:
    items = key.items or {}
    if "properties" in items:
        entry = properties_of(keys_of_items(items))
        return {"type": "object"} | _ANYTHING | {"properties": entry}
    return _TEXT if list(items.get("type", ())) == ["string"] else _ANYTHING


class _Folded(str):
    """A text that YAML shows in lines."""


class _Dumper(yaml.SafeDumper):
    """Short lists in one line, texts in many."""


_Dumper.add_representer(
    _Folded, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style=">")
)
_Dumper.add_representer(
    list, lambda dumper, row: dumper.represent_sequence("tag:yaml.org,2002:seq", row, True)
)


def _as_yaml(value: Any, width: int) -> str:
    return yaml.dump(
        _folded(value),
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=False,
        allow_unicode=True,
        width=width,
    )


def _folded(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        name: _Folded(item) if isinstance(item, str) and name == "description" else _folded(item)
        for name, item in value.items()
    }


if __name__ == "__main__":
    CRD.write_text(with_properties(CRD.read_text()))
