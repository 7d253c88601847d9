# SPDX-License-Identifier: Apache-2.0
"""Makes `job_schema.json`, which `finetune validate` checks a spec with, of the FineTuneJob's CRD.

Run by `make generate`. A keyword of the CRD that it does not know stops it: the checks must learn
it first (`finetune_contract/job_shape.py`).
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
CRD = REPOSITORY / "crds" / "finetunejobs.yaml"
SCHEMA = REPOSITORY / "contract" / "src" / "finetune_contract" / "job_schema.json"

KEPT = {"default", "enum", "maxLength", "maximum", "minLength", "minimum", "pattern", "required"}
DROPPED = {"description", "format", "anyOf", "x-kubernetes-int-or-string"}
TYPES = {"object", "string", "integer"}

_MATCHES = re.compile(r"self\.matches\('(.*)'\)")


def build_schema(crd: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of `spec` in the newest version, its config an object of anything."""
    spec = crd["spec"]["versions"][-1]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    schema = _reduced(spec, skip="config")
    schema["properties"] = {"config": {"type": ["object"]}, **schema["properties"]}
    return schema


def _reduced(schema: Mapping[str, Any], skip: str | None = None) -> dict[str, Any]:
    reduced: dict[str, Any] = {"type": _types(schema)}
    for keyword, value in schema.items():
        if keyword in KEPT:
            reduced[keyword] = value
        elif keyword == "properties":
            reduced[keyword] = {key: _reduced(part) for key, part in value.items() if key != skip}
        elif keyword == "x-kubernetes-validations":
            reduced["x-rules"] = list(_rules(value))
        elif keyword not in DROPPED and keyword != "type":
            raise ValueError(f"job_shape.py does not know the keyword {keyword}")
    return reduced


def _types(schema: Mapping[str, Any]) -> list[str]:
    if schema.get("x-kubernetes-int-or-string"):
        return ["integer", "string"]
    if schema["type"] not in TYPES:
        raise ValueError(f"job_shape.py does not know the type {schema['type']}")
    return [schema["type"]]


def _rules(rules: list[Mapping[str, str]]) -> Iterator[dict[str, str]]:
    for rule in rules:
        if "oldSelf" in rule["rule"]:
            continue  # about changes, and a file has no past
        found = _MATCHES.fullmatch(rule["rule"])
        if found is None:
            raise ValueError(f"job_shape.py does not know the rule {rule['rule']}")
        yield {"pattern": found[1], "message": rule["message"]}


def render() -> str:
    return json.dumps(build_schema(yaml.safe_load(CRD.read_text())), indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(render())
