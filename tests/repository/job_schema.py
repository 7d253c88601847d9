# SPDX-License-Identifier: Apache-2.0
"""Creates the schemas with which `finetune validate` checks a spec, from the CRDs.

Run by `make generate`. An unknown keyword of the CRD stops it: the checks must support it first
(`finetune_spec/shape.py`).
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
SPEC = REPOSITORY / "job-spec" / "src" / "finetune_spec"
SCHEMAS = {
    SPEC / "job_schema.json": (REPOSITORY / "crds" / "finetunejobs.yaml", "config"),
    SPEC / "schedule_schema.json": (REPOSITORY / "crds" / "finetuneschedules.yaml", "spec"),
}
"""Each with its CRD, and the field below `spec` whose contents have separate checks."""

KEPT = {
    *("default", "enum", "maxItems", "maxLength", "maximum", "minLength", "minimum", "pattern"),
    "required",
}
DROPPED = {"description", "format", "anyOf", "x-kubernetes-int-or-string", "x-kubernetes-list-type"}
RENAMED = {
    "x-kubernetes-preserve-unknown-fields": "x-open",
    "x-kubernetes-list-map-keys": "x-keys",
}
TYPES = {"object", "array", "string", "integer", "boolean"}

_MATCHES = re.compile(r"self\.matches\('(.*)'\)")


def build_schema(crd: Mapping[str, Any], skip: str) -> dict[str, Any]:
    """The schema of `spec` in the newest version; values in `skip` may be anything."""
    spec = crd["spec"]["versions"][-1]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return _reduced(spec, skip)


def _reduced(schema: Mapping[str, Any], skip: str) -> dict[str, Any]:
    reduced: dict[str, Any] = {"type": _types(schema)}
    for keyword, value in schema.items():
        if keyword in KEPT:
            reduced[keyword] = value
        elif keyword == "properties":
            reduced[keyword] = {
                key: {"type": ["object"]} if key == skip else _reduced(part, skip)
                for key, part in value.items()
            }
        elif keyword in ("items", "additionalProperties"):
            reduced[keyword] = _reduced(value, skip)
        elif keyword in RENAMED:
            reduced[RENAMED[keyword]] = value
        elif keyword == "x-kubernetes-validations":
            reduced["x-rules"] = list(_rules(value))
        elif keyword not in DROPPED and keyword != "type":
            raise ValueError(f"shape.py does not know the keyword {keyword}")
    return reduced


def _types(schema: Mapping[str, Any]) -> list[str]:
    if schema.get("x-kubernetes-int-or-string"):
        return ["integer", "string"]
    if schema["type"] not in TYPES:
        raise ValueError(f"shape.py does not know the type {schema['type']}")
    return [schema["type"]]


def _rules(rules: list[Mapping[str, str]]) -> Iterator[dict[str, str]]:
    for rule in rules:
        if "oldSelf" in rule["rule"]:
            continue  # It is about changes, and a file has no previous version.
        found = _MATCHES.fullmatch(rule["rule"])
        if found is None:
            raise ValueError(f"shape.py does not know the rule {rule['rule']}")
        yield {"pattern": found[1], "message": rule["message"]}


def render(schema: Path) -> str:
    crd, skip = SCHEMAS[schema]
    return json.dumps(build_schema(yaml.safe_load(crd.read_text()), skip), indent=2) + "\n"


if __name__ == "__main__":
    for made in SCHEMAS:
        made.write_text(render(made))
