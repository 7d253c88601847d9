# SPDX-License-Identifier: Apache-2.0
"""Problems of an `accelerate_config` by itself. No I/O here."""

from collections.abc import Iterator, Mapping
from typing import Any

from finetune_spec.config.check.values import wrong_type
from finetune_spec.config.parse.launch.options import (
    ELSEWHERE,
    KEYS,
    PRECISIONS,
    SECTIONS,
    SHARDED_BY,
    STRATEGIES,
    TOP,
    Option,
)
from finetune_spec.config.parse.launch.profiles import NAMED, PROFILES
from finetune_spec.config.parse.schema import Schema
from finetune_spec.config.problem import Problem, did_you_mean, quoted

KEY = "accelerate_config"

_VERSIONS = (1, 2)
_STAGES = (0, 1, 2, 3)


def check_accelerate_config(key: str, name: str, value: Any, schema: Schema) -> Iterator[Problem]:
    if key != KEY:
        return
    if isinstance(value, str):
        yield from _check_name(name, value)
    elif isinstance(value, Mapping):
        yield from _check_whole(name, value)


def _check_name(path: str, value: str) -> Iterator[Problem]:
    if value in NAMED:
        return
    if "/" in value or value.endswith((".yaml", ".yml", ".json")):
        yield Problem(
            path=path,
            message=f"found {quoted(value)}, a file that the trainer does not have: write its "
            "contents here as a mapping, or the name of a profile",
        )
        return
    hint = did_you_mean(value, NAMED) or f", expected one of {', '.join(PROFILES)}"
    yield Problem(path=path, message=f"found {quoted(value)}, which is not a profile{hint}")


def _check_whole(path: str, config: Mapping[Any, Any]) -> Iterator[Problem]:
    for key, value in config.items():
        place = f"{path}.{key}"
        if key in SECTIONS:
            yield from _check_section(place, key, value)
        elif key in ELSEWHERE:
            if value:
                yield Problem(path=place, message=ELSEWHERE[key])
        elif key in TOP:
            yield from _check_type(place, value, TOP[key])
        elif key not in KEYS:
            hint = did_you_mean(str(key), KEYS)
            yield Problem(path=place, message=f"not a key of an accelerate config{hint}")
    yield from _check_environment(path, config.get("compute_environment"))
    yield from _check_strategy(path, config)
    yield from _check_precision(path, config.get("mixed_precision"))


def _check_environment(path: str, value: Any) -> Iterator[Problem]:
    if value not in (None, "LOCAL_MACHINE"):
        yield Problem(
            path=f"{path}.compute_environment",
            message=f'found {quoted(value)}, expected "LOCAL_MACHINE": the job is started here',
        )


def _check_strategy(path: str, config: Mapping[Any, Any]) -> Iterator[Problem]:
    place, found = f"{path}.distributed_type", config.get("distributed_type")
    expected = ", ".join(STRATEGIES)
    if "distributed_type" not in config:
        yield Problem(path=place, message=f"missing: one of {expected}")
        return
    # A bare NO is false in YAML.
    strategy = "NO" if found is False else found
    if strategy not in STRATEGIES:
        hint = did_you_mean(str(found).upper(), STRATEGIES) or f", expected one of {expected}"
        yield Problem(path=place, message=f"found {quoted(found)}{hint}")
        return
    for section, reader in SHARDED_BY.items():
        if config.get(section) and strategy != reader:
            yield Problem(
                path=f"{path}.{section}",
                message=f"found together with distributed_type: {strategy}, expected {reader} "
                "there",
            )


def _check_precision(path: str, value: Any) -> Iterator[Problem]:
    if value is None or value is False or value in PRECISIONS:
        return
    hint = (
        ": TRL does not support fp8"
        if value == "fp8"
        else did_you_mean(str(value), PRECISIONS) or f", expected one of {', '.join(PRECISIONS)}"
    )
    yield Problem(path=f"{path}.mixed_precision", message=f"found {quoted(value)}{hint}")


def _check_section(path: str, section: str, values: Any) -> Iterator[Problem]:
    if values is None:
        return
    if not isinstance(values, Mapping):
        yield Problem(path=path, message=f"found {quoted(values)}, expected a mapping")
        return
    options = SECTIONS[section]
    for key, value in values.items():
        if key in options:
            yield from _check_type(f"{path}.{key}", value, options[key])
        else:
            hint = did_you_mean(str(key), options)
            yield Problem(
                path=f"{path}.{key}", message=f"not a key of accelerate's {section}{hint}"
            )
    yield from _check_number(path, values, "fsdp_version", _VERSIONS)
    yield from _check_number(path, values, "zero_stage", _STAGES)


def _check_type(path: str, value: Any, option: Option) -> Iterator[Problem]:
    if message := wrong_type(value, option.types):
        yield Problem(path=path, message=message)


def _check_number(
    path: str, values: Mapping[Any, Any], key: str, known: tuple[int, ...]
) -> Iterator[Problem]:
    value = values.get(key)
    if isinstance(value, int) and value not in known:
        words = ", ".join(str(number) for number in known)
        yield Problem(
            path=f"{path}.{key}", message=f"found {quoted(value)}, expected one of {words}"
        )


LAUNCH_CHECKS = (check_accelerate_config,)
