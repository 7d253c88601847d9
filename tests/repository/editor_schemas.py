# SPDX-License-Identifier: Apache-2.0
"""JSON Schemas for editors and pipelines: a complete FineTuneJob, and a bare SFT config.

`make generate` writes them; a test compares. They are stricter than the CRD, whose unknown keys
must reach our own check: an editor underlines a typing error immediately. Draft 7, which every
editor supports.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from finetune_spec.config.check.keys import OPERATOR_OWNED
from finetune_spec.config.check.ranges import RANGES, Range
from finetune_spec.config.parse.spellings import OLDER, RETIRED, Retired
from repository.crd_config import CRD
from repository.every_trl import Key, every_key

FOLDER = Path(__file__).parents[2] / "configs" / "schemas"
CONFIG = FOLDER / "sft-config.schema.json"
JOB = FOLDER / "finetunejob.schema.json"

Json = dict[str, Any]

_DRAFT = "http://json-schema.org/draft-07/schema#"
_KEPT = ("enum", "pattern", "required", "default")
_KEPT_BOUNDS = ("minimum", "maximum", "minLength", "maxLength", "maxItems")
_MATCHES = re.compile(r"self\.matches\('(.*)'\)")


def contents() -> dict[Path, str]:
    """Each file with its correct content."""
    schemas = {CONFIG: config_schema(), JOB: job_schema(yaml.safe_load(CRD.read_text()))}
    return {
        file: json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for file, schema in schemas.items()
    }


def config_schema() -> Json:
    """The YAML that `trl sft --config` reads."""
    return {"$schema": _DRAFT, "title": "TRL SFT config"} | _config({})


def job_schema(crd: Mapping[str, Any]) -> Json:
    """A FineTuneJob, in the version that the API server stores."""
    (version,) = (version for version in crd["spec"]["versions"] if version["storage"])
    names = crd["spec"]["names"]
    schema = _of_resource(version["schema"]["openAPIV3Schema"])
    schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
    schema["properties"] |= {
        "apiVersion": {"const": f"{crd['spec']['group']}/{version['name']}"},
        "kind": {"const": names["kind"]},
        "metadata": {"type": "object"},
    }
    places = schema["properties"]["spec"]["properties"]
    places["config"] = {"description": places["config"]["description"]} | _config(OPERATOR_OWNED)
    return {"$schema": _DRAFT, "title": names["kind"]} | schema


def _of_resource(schema: Mapping[str, Any]) -> Json:
    """A part of the CRD as JSON Schema, closed if it names its fields."""
    found: Json = {"description": schema["description"]} if "description" in schema else {}
    if schema.get("x-kubernetes-int-or-string"):
        found["type"] = ["integer", "string"]
    elif "type" in schema:
        found["type"] = schema["type"]
    found |= {word: schema[word] for word in (*_KEPT, *_KEPT_BOUNDS) if word in schema}
    for rule in schema.get("x-kubernetes-validations", ()):
        if matches := _MATCHES.fullmatch(rule["rule"]):
            found["pattern"] = matches[1]
    if "items" in schema:
        found["items"] = _of_resource(schema["items"])
    if "additionalProperties" in schema:
        found["additionalProperties"] = _of_resource(schema["additionalProperties"])
    if "properties" in schema:
        found["properties"] = {
            name: _of_resource(part) for name, part in schema["properties"].items()
        }
        found["additionalProperties"] = False
    return found


def _config(owned: Mapping[str, str]) -> Json:
    """The config; keys that the operator owns cannot be set."""
    keys = every_key()
    properties = {name: _of_key(name, key) for name, key in keys.items()}
    for old, new in OLDER.items():
        properties.setdefault(old, properties[new] | _deprecated(f"Older spelling of {new}."))
    for name, retired in RETIRED.items():
        properties.setdefault(name, _of_retired(retired))
    for name in owned:
        # `not: {}` is true for no value, and keeps the description with the reason.
        properties[name] = {"not": {}, "description": properties[name]["description"]}
    return {
        "type": "object",
        "properties": dict(sorted(properties.items())),
        "required": ["model_name_or_path"],
        "anyOf": [{"required": ["dataset_name"]}, {"required": ["datasets"]}],
        "additionalProperties": False,
    }


def _of_key(name: str, key: Key) -> Json:
    found: Json = {"description": key.help}
    if key.types:
        found["type"] = list(key.types)
    if key.choices:
        found["enum"] = list(key.choices)
    if key.items:
        found["items"] = key.items
    if key.default is not None:
        found["default"] = key.default
    if name in RANGES:
        found |= dict(_bounds(RANGES[name]))
    return found


def _bounds(allowed: Range) -> Iterator[tuple[str, Any]]:
    words = {
        "minimum": allowed.minimum,
        "exclusiveMinimum": allowed.above,
        "maximum": allowed.maximum,
        "exclusiveMaximum": allowed.below,
    }
    yield from ((word, bound) for word, bound in words.items() if bound is not None)
    if allowed.is_whole_above_one:
        yield "anyOf", [{"maximum": 1}, {"multipleOf": 1}]


def _of_retired(retired: Retired) -> Json:
    found = _deprecated(f"Gone from TRL: {retired.instead}.")
    if retired.harmless is not None:
        found["enum"] = [*retired.harmless, None]
    return found


def _deprecated(reason: str) -> Json:
    """Marked in every editor: each supports another of these keywords."""
    return {"description": reason, "deprecated": True, "deprecationMessage": reason}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in contents().items():
        file.write_text(text)
