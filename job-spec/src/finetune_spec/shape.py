# SPDX-License-Identifier: Apache-2.0
"""Checks a FineTuneJob or FineTuneSchedule as the API server does, without an API server. No I/O
here.

`make generate` creates `job_schema.json` and `schedule_schema.json` from the
CustomResourceDefinitions. The config has separate checks (`finetune_spec.config`).
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

from finetune_spec.config.bounds import find_beyond
from finetune_spec.config.parse.schema import NEWEST, load_schema
from finetune_spec.config.problem import Problem, did_you_mean, quoted
from finetune_spec.schedule import TEMPLATE, in_template

API_VERSION = "finetune.dev/v1alpha1"
KIND = "FineTuneJob"
SCHEDULE_KIND = "FineTuneSchedule"

_SECTIONS = ("apiVersion", "kind", "metadata", "spec", "status")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_NAME = 253

_OF_PODS = (
    *("containers", "volumes", "nodeSelector", "tolerations", "affinity", "priorityClassName"),
    *("serviceAccountName", "imagePullSecrets", "runtimeClassName", "schedulerName"),
)

_HABITS: Mapping[str, Mapping[str, str]] = {
    "spec": {
        "output_dir": "output: {uri: ...}",
        "outputUri": "output: {uri: ...}",
        "gpus": "resources: {gpusPerNode: ...}",
        "replicas": "resources: {nodes: ...}",
        "backoffLimit": "retry: {maxAttempts: ...}",
        "args": "config",
        "template": "podTemplate",
        "volumeMounts": "podTemplate: {spec: {containers: [{name: trainer, volumeMounts: ...}]}}",
        "labels": "podTemplate: {metadata: {labels: ...}}",
        **{name: f"podTemplate: {{spec: {{{name}: ...}}}}" for name in _OF_PODS},
    },
    "spec.resources": {
        **dict.fromkeys(("gpu", "gpus", "num_gpus", "nvidia.com/gpu"), "gpusPerNode"),
        **dict.fromkeys(("num_nodes", "numNodes", "replicas"), "nodes"),
        "requests": "gpusPerNode, cpu and memory right here",
    },
    "spec.resources.limits": {
        **dict.fromkeys(("nvidia.com/gpu", "gpu", "gpus"), "gpusPerNode in spec.resources"),
        "ephemeral-storage": "ephemeralStorage",
    },
    "spec.output": {
        **dict.fromkeys(("url", "path", "dir", "output_dir", "bucket"), "uri"),
        **dict.fromkeys(("secret", "secretRef", "secretName"), "credentialsSecretRef: {name: ...}"),
    },
    "spec.retry": dict.fromkeys(("backoffLimit", "limit", "retries"), "maxAttempts"),
}
"""Place -> a field that is often written there -> the correct one."""

_KINDS: Mapping[str, tuple[str, type]] = {
    "object": ("a mapping", Mapping),
    "string": ("a string", str),
    "integer": ("a whole number", int),
    "array": ("a list", list),
    "boolean": ("true or false", bool),
}
_MEANINGS = {
    "cpu": "a quantity such as 8 or 500m",
    **dict.fromkeys(("memory", "ephemeralStorage", "sharedMemory"), "a quantity such as 64Gi"),
    "gpuResource": "a name such as nvidia.com/gpu, or none",
    "subPath": "a path below the claim's root, such as team-a",
}
"""Field -> the meaning of its pattern."""


def job_schema() -> Mapping[str, Any]:
    """The schema of a job's `spec`, without the keys of the config."""
    return _load("job_schema.json")


def schedule_schema() -> Mapping[str, Any]:
    """The schema of a schedule's `spec`, without the spec of its jobs."""
    return _load("schedule_schema.json")


@cache
def _load(name: str) -> Mapping[str, Any]:
    file = resources.files(__package__).joinpath(name)
    schema: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return schema


def check_shape(document: Mapping[str, Any]) -> tuple[Problem, ...]:
    """The problems that the API server would report for a FineTuneJob, with complete paths."""
    if (beyond := find_beyond(document, "")) is not None:
        return (beyond,)
    return tuple(_check_document(document, KIND, job_schema()))


def check_schedule_shape(document: Mapping[str, Any]) -> tuple[Problem, ...]:
    """The same for a FineTuneSchedule."""
    if (beyond := find_beyond(document, "")) is not None:
        return (beyond,)
    problems = _check_document(document, SCHEDULE_KIND, schedule_schema())
    template = template_of(document)
    of_jobs = () if template is None else _check(template, job_schema(), "spec")
    return (*problems, *map(in_template, of_jobs))


def template_of(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The spec of a schedule's jobs, if there is one."""
    found: Any = document
    for key in (*TEMPLATE.split("."), "spec"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else None


def _check_document(
    document: Mapping[str, Any], kind: str, schema: Mapping[str, Any]
) -> Iterator[Problem]:
    yield from _check_head(document, kind)
    yield from _check_metadata(document.get("metadata"))
    if "spec" in document:
        yield from _check(document["spec"], schema, "spec")
    else:
        needed = " and ".join(schema["required"])
        yield Problem(path="spec", message=f"missing: it contains {needed}")


def _check_head(document: Mapping[str, Any], kind: str) -> Iterator[Problem]:
    for key, expected in (("apiVersion", API_VERSION), ("kind", kind)):
        if key not in document:
            yield Problem(path=key, message=f"missing: write {key}: {expected}")
        elif document[key] != expected:
            yield Problem(
                path=key, message=f"found {quoted(document[key])}, expected {quoted(expected)}"
            )
    for key in document:
        if key not in _SECTIONS:
            yield Problem(path=key, message=_unknown(key, "", _SECTIONS))


def _check_metadata(metadata: Any) -> Iterator[Problem]:
    if not isinstance(metadata, Mapping):
        yield Problem(path="metadata", message="missing: write metadata: {name: ...}")
        return
    if "name" not in metadata:
        if "generateName" not in metadata:
            yield Problem(path="metadata.name", message="missing: its name, such as balloon")
        return
    name = metadata["name"]
    if isinstance(name, str) and _NAME.fullmatch(name) and len(name) <= _LONGEST_NAME:
        return
    yield Problem(
        path="metadata.name",
        message=f"found {quoted(name)}, expected lower case letters, digits, - and ., "
        "with a letter or digit at either end",
    )


def _check(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[Problem]:
    """The problems of one value and everything in it; only the first of each value."""
    if value is None and "default" in schema:
        return  # The API server fills it in.
    problem = next(_check_value(value, schema, path.rpartition(".")[2]), None)
    if problem is not None:
        yield Problem(path=path, message=problem)
    elif isinstance(value, Mapping):
        yield from _check_fields(value, schema, path)
    elif isinstance(value, list):
        yield from _check_items(value, schema, path)


def _check_items(value: list[Any], schema: Mapping[str, Any], path: str) -> Iterator[Problem]:
    if len(value) > schema.get("maxItems", len(value)):
        message = f"found {len(value)} entries, expected at most {schema['maxItems']}"
        yield Problem(path=path, message=message)
    seen: dict[tuple[Any, ...], int] = {}
    for place, item in enumerate(value):
        yield from _check(item, schema.get("items", _ANYTHING), f"{path}[{place}]")
        if "x-keys" not in schema or not isinstance(item, Mapping):
            continue
        keys = tuple(str(item.get(key)) for key in schema["x-keys"])
        first = seen.setdefault(keys, place)
        if first != place:
            where = f"{path}[{place}].{schema['x-keys'][0]}"
            message = f"found {quoted(keys[0])} a second time, after {path}[{first}]: remove one"
            yield Problem(path=where, message=message)


_ANYTHING: Mapping[str, Any] = {"type": ["object"], "x-open": True}


def _check_fields(
    value: Mapping[str, Any], schema: Mapping[str, Any], path: str
) -> Iterator[Problem]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    advice = "".join(_unknown(key, path, known) for key in value if _is_unknown(key, schema))
    for key in schema.get("required", ()):
        # If it is present under another name, that message is sufficient.
        if key not in value and not re.search(rf"(mean|write) {key}\b", advice):
            yield Problem(path=f"{path}.{key}", message=f"missing: {_missing(path, key)}")
    for key, item in value.items():
        if key in known:
            yield from _check(item, known[key], f"{path}.{key}")
        elif others is not None:
            yield from _check(item, others, f"{path}.{key}")
        elif _is_unknown(key, schema):
            yield Problem(path=f"{path}.{key}", message=_unknown(key, path, known))


def _is_unknown(key: str, schema: Mapping[str, Any]) -> bool:
    """Whether the field is unknown: open fields, such as the config, have their own checks."""
    known = schema.get("properties", {})
    is_open = not known or schema.get("x-open") or "additionalProperties" in schema
    return key not in known and not is_open


_EXAMPLES = {
    "spec.schedule": "when to train, such as `0 2 * * *` for two o'clock each night",
    "spec.jobTemplate": "it contains the template of the jobs",
    f"{TEMPLATE}.spec": "it contains config and output of the jobs",
    "spec.config": "it contains the YAML that `trl sft --config` reads",
    "spec.output": "write output: {uri: s3://bucket/folder}",
    "spec.output.uri": "the location of the result, such as s3://bucket/folder",
}


def _missing(path: str, key: str) -> str:
    return _EXAMPLES.get(f"{path}.{key}", f"required by {path}")


def _unknown(key: str, path: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    """The message for an unknown field, with the place or the name it should have."""
    if habit := _HABITS.get(path, {}).get(key):
        return f"unknown field: write {habit}"
    fields = job_schema()["properties"]
    # A field of the job that is unknown in a spec belongs to a schedule's.
    is_of_schedule = path == TEMPLATE or (path == "spec" and "jobTemplate" in known)
    spec = f"{TEMPLATE}.spec" if is_of_schedule else "spec"
    if key in fields:
        return f"unknown field: it belongs under {spec}"
    for section, schema in fields.items():
        if key in schema.get("properties", {}):
            return f"unknown field: it belongs under {spec}.{section}"
    if key in load_schema(NEWEST).properties:
        return f"unknown field: it belongs under {spec}.config"
    return f"unknown field{did_you_mean(key, list(known)) or ', expected ' + ', '.join(known)}"


def _check_value(value: Any, schema: Mapping[str, Any], field: str) -> Iterator[str]:
    kinds = [kind for kind in _KINDS if kind in schema["type"]]
    if not any(_is_of_kind(value, kind) for kind in kinds):
        expected = _MEANINGS.get(field) or " or ".join(_KINDS[kind][0] for kind in kinds)
        if "integer" in kinds and field.endswith("Seconds"):
            expected += " of seconds"
        yield f"found {quoted(value)}, expected {expected}{_hint(value, schema)}"
        return
    if isinstance(value, int) and not isinstance(value, bool):
        low, high = schema.get("minimum", value), schema.get("maximum", value)
        if not low <= value <= high:
            bounds = f"from {low} to {high}" if "maximum" in schema else f"of at least {low}"
            yield f"found {value}, expected {_KINDS[kinds[0]][0]} {bounds}"
    if isinstance(value, str):
        yield from _check_text(value, schema, field)


def _check_text(value: str, schema: Mapping[str, Any], field: str) -> Iterator[str]:
    if len(value) < schema.get("minLength", 0):
        yield "found an empty string: remove the key or give it a value"
    if len(value) > schema.get("maxLength", len(value)):
        yield f"found {len(value)} characters, expected at most {schema['maxLength']}"
    if "enum" in schema and value not in schema["enum"]:
        hint = did_you_mean(value, schema["enum"]) or f", expected {' or '.join(schema['enum'])}"
        yield f"found {quoted(value)}{hint}"
    for rule in schema.get("x-rules", ()):
        if not re.search(rule["pattern"], value):
            yield f"found {quoted(value)}: {rule['message']}"
    if not re.search(schema.get("pattern", ""), value):
        yield f"found {quoted(value)}, expected {_MEANINGS.get(field, schema.get('pattern'))}"


def _is_of_kind(value: Any, kind: str) -> bool:
    # bool is a subclass of int.
    return isinstance(value, _KINDS[kind][1]) and isinstance(value, bool) == (kind == "boolean")


def _hint(value: Any, schema: Mapping[str, Any]) -> str:
    """The correct notation for a value of another kind."""
    kinds = schema["type"]
    if value is None:
        return ": give the key a value, or remove it"
    if "object" in kinds:
        return _hint_for_section(value, schema)
    if isinstance(value, str) and kinds == ["integer"] and value.strip().isdecimal():
        return ": remove the quotes"
    if kinds == ["array"]:
        return ": put a dash in front of each entry" if isinstance(value, Mapping) else ""
    if kinds == ["boolean"]:
        return ": remove the quotes" if str(value).lower() in ("true", "false") else ""
    if "string" in kinds and not isinstance(value, Mapping | list):
        return ": put it in quotes"
    return ""


def _hint_for_section(value: Any, schema: Mapping[str, Any]) -> str:
    fields = schema.get("properties", {})
    if isinstance(value, list):
        return ": remove the dashes in front of the keys"
    if isinstance(value, str) and "\n" in value:
        return ": remove the | or > after the key"
    if main := schema.get("required") or (list(fields) if len(fields) == 1 else []):
        return f": write {{{main[0]}: {value}}}"
    return ""
