# SPDX-License-Identifier: Apache-2.0
"""The schema of a FineTuneJob in its CustomResourceDefinition."""

from pathlib import Path
from typing import Any

import jsonschema
import yaml

CRD = Path(__file__).parents[2] / "crds" / "finetunejobs.yaml"
# The loader in C: PyYAML's own takes a second for it.
(VERSION,) = yaml.load(CRD.read_text(), yaml.CSafeLoader)["spec"]["versions"]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]["properties"]


def assert_fits(value: Any, schema: dict[str, Any]) -> None:
    """Requires that the API server accepts it and drops no field."""
    jsonschema.Draft7Validator(schema).validate(_without_nulls(value))
    assert_known(value, schema, "")


def _without_nulls(value: Any) -> Any:
    """The value after a merge patch."""
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def assert_known(value: Any, schema: dict[str, Any], path: str) -> None:
    if isinstance(value, dict):
        if schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema:
            return
        unknown = value.keys() - schema["properties"].keys()
        assert not unknown, f"{path} has no {unknown}"
        for name, item in value.items():
            assert_known(item, schema["properties"][name], f"{path}.{name}")
    elif isinstance(value, list):
        for item in value:
            assert_known(item, schema["items"], f"{path}[]")
