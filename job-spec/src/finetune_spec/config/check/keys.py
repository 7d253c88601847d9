# SPDX-License-Identifier: Apache-2.0
"""The keys that a config may have, and the required ones. No I/O here.

A check of this table takes the config as its user wrote it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from finetune_spec.config.parse.schema import Schema
from finetune_spec.config.parse.spellings import OLDER, RETIRED, Retired
from finetune_spec.config.problem import Problem, quoted, warning
from finetune_spec.config.suggest.nested_secrets import check_nested_secrets
from finetune_spec.config.suggest.owned import (
    OPERATOR_OWNED,
    check_environment,
    check_owned_keys,
    warn_of_incomplete_resuming,
    warn_of_keys_without_effect,
)
from finetune_spec.config.suggest.unknown import read_unknown

__all__ = ["KEY_CHECKS", "OPERATOR_OWNED"]

_MODEL = "model_name_or_path"
_DATA = ("dataset_name", "datasets")


def check_unknown_keys(config: Mapping[str, Any], schema: Schema) -> Iterator[Problem]:
    return (unknown.problem for unknown in read_unknown(config, schema))


def check_older_spellings(config: Mapping[str, Any], schema: Schema) -> Iterator[Problem]:
    for old, new in OLDER.items():
        if old not in config:
            continue
        if new not in config:
            yield warning(old, f"an older spelling, read as {new}")
        elif config[old] == config[new]:
            yield warning(old, f"an older spelling of {new}, which is set to the same value")
        else:
            yield Problem(path=old, message=f"an older spelling of {new}, which is set as well")


def check_warmup_ratio(config: Mapping[str, Any], schema: Schema) -> Iterator[Problem]:
    ratio = config.get("warmup_ratio")
    if isinstance(ratio, int | float) and not isinstance(ratio, bool) and ratio >= 1:
        yield Problem(
            path="warmup_ratio",
            message=f"found {quoted(ratio)}, expected a number below 1: it is read as "
            "warmup_steps, which counts steps from 1 on",
        )


def check_retired_keys(config: Mapping[str, Any], schema: Schema) -> Iterator[Problem]:
    for key, retired in RETIRED.items():
        if key in config:
            yield _farewell(key, config[key], retired)


def _farewell(key: str, value: Any, retired: Retired) -> Problem:
    if not retired.is_harmless(value):
        return Problem(path=key, message=f"no longer a key of TRL: {retired.instead}")
    if retired.harmless is None:
        return warning(key, f"has no effect: {retired.instead}")
    return warning(key, f"no longer a key of TRL, and {quoted(value)} is the default")


def check_model_and_data(config: Mapping[str, Any], schema: Schema) -> Iterator[Problem]:
    """Both are required; a name under another key is already reported."""
    named = {OLDER.get(key, key) for key, value in config.items() if value}
    if not {_MODEL, *_DATA} - named or (_MODEL in named and named & {*_DATA}):
        return
    named |= {word for unknown in read_unknown(config, schema) for word in unknown.advised}
    if _MODEL not in named:
        yield Problem(
            path=_MODEL,
            message="missing: the model to fine-tune, e.g. a hub name or an s3:// URI",
        )
    if not named & {*_DATA}:
        yield Problem(
            path=_DATA[0],
            message="missing: the data to train on, e.g. a hub name or an s3:// URI",
        )


KEY_CHECKS = (
    check_unknown_keys,
    check_owned_keys,
    check_nested_secrets,
    check_environment,
    check_older_spellings,
    check_warmup_ratio,
    check_retired_keys,
    check_model_and_data,
    warn_of_keys_without_effect,
    warn_of_incomplete_resuming,
)
