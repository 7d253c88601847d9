# SPDX-License-Identifier: Apache-2.0
"""docs/reference.md and docs/config.md: every field that can be written or read, out of the CRDs.

`make generate` writes them; a test compares.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CONFIG = ("spec", "config")
DEEPEST = 6
"""Below it the field's own description has to do, and `kubectl explain`."""

Schema = Mapping[str, Any]

_MADE = "Made by `make generate` from crds/; `kubectl explain` tells the same.\n"


def files() -> dict[Path, str]:
    """Both pages with the text that they should have."""
    job, schedule = (_schema_of(kind) for kind in ("finetunejobs", "finetuneschedules"))
    config = job["properties"]["spec"]["properties"]["config"]
    parts = [
        "# Reference: every field\n",
        f"{_MADE}The keys of `spec.config` stand in [config.md](config.md).\n",
        _section("FineTuneJob: what you write", job, "spec"),
        _section("FineTuneJob: what you read", job, "status"),
        _section("FineTuneSchedule: what you write", schedule, "spec"),
        "`jobTemplate` is a FineTuneJob without a name.\n",
        _section("FineTuneSchedule: what you read", schedule, "status"),
    ]
    keys = [
        "# Every key of `spec.config`\n",
        f"{_MADE}They are the keys of TRL's SFT trainer, with its own words, and a few of ours.\n",
        _table(_key_row(name, key) for name, key in config["properties"].items()),
    ]
    return {
        ROOT / "docs" / "reference.md": "\n".join(parts),
        ROOT / "docs" / "config.md": "\n".join(keys),
    }


def _schema_of(plural: str) -> Schema:
    definition = yaml.safe_load((ROOT / "crds" / f"{plural}.yaml").read_text())
    (version,) = definition["spec"]["versions"]
    schema: Schema = version["schema"]["openAPIV3Schema"]
    return schema


def _section(title: str, schema: Schema, part: str) -> str:
    return f"## {title}\n\n{_table(_rows((part,), schema['properties'][part]))}"


def _table(rows: Iterator[str]) -> str:
    head = ["| field | type | default | what it is |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *rows]) + "\n"


def _rows(path: tuple[str, ...], schema: Schema) -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        here = (*path, name)
        yield _row(here, field, is_required=name in schema.get("required", ()))
        inner, mark = _inside(field)
        is_told_elsewhere = here == CONFIG or name == "jobTemplate"
        if inner is not None and not is_told_elsewhere and len(here) < DEEPEST:
            yield from _rows((*path, f"{name}{mark}"), inner)


def _inside(field: Schema) -> tuple[Schema | None, str]:
    """The schema of what lies in this field, and how its path is written."""
    if "properties" in field:
        return field, ""
    if "properties" in field.get("items", {}):
        return field["items"], "[]"
    return None, ""


def _row(path: tuple[str, ...], field: Schema, *, is_required: bool) -> str:
    default = f"`{yaml_of(field['default'])}`" if "default" in field else ""
    described = _escaped(" ".join(str(field.get("description", "")).split()))
    if choices := field.get("enum"):
        described += f" One of {', '.join(f'`{choice}`' for choice in choices if choice)}."
    return (
        f"| `{'.'.join(path)}`{' (required)' if is_required else ''} "
        f"| {_type_of(field)} | {default} | {described.strip()} |"
    )


def _key_row(name: str, key: Schema) -> str:
    """TRL's default is told in the description: the API server must not write it into a job."""
    text = " ".join(key["description"].split())
    if found := re.search(r" Default: (.+?)\.(?= |$)", text):
        text = text.replace(found[0], "")
    default = f"`{_escaped(found[1])}`" if found else ""
    return f"| `{name}` | {_type_of(key)} | {default} | {_escaped(text)} |"


def _type_of(field: Schema) -> str:
    if field.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if field.get("type") == "array":
        return f"list of {_type_of(field.get('items', {}))}"
    values = field.get("additionalProperties")
    if isinstance(values, Mapping):
        return f"map of {_type_of(values)}"
    return str(field.get("type", "any"))


def yaml_of(value: object) -> str:
    return (
        yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
    )


def _escaped(text: str) -> str:
    """A bar ends a table's cell, and what looks like a tag is none."""
    return re.sub(r"<(?=\w)", "&lt;", text.replace("|", "\\|"))


if __name__ == "__main__":
    for file, text in files().items():
        file.write_text(text)
