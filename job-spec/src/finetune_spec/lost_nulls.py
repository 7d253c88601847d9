# SPDX-License-Identifier: Apache-2.0
"""Nulls that `kubectl apply` has dropped before sending. No I/O here.

`max_length: null` makes TRL keep complete rows. Client-side apply drops the key, so TRL's default
applies silently. The user's original is still in kubectl's own annotation.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from finetune_contract.documents import parse_object
from finetune_spec.config.parse.schema import Schema
from finetune_spec.config.parse.spellings import OLDER
from finetune_spec.config.problem import Problem, quoted, warning

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def find_lost_nulls(
    config: Mapping[str, Any], annotations: Mapping[str, str], schema: Schema
) -> Iterator[Problem]:
    """A warning for each dropped null that would have made a difference."""
    for key, value in _applied_config(annotations.get(LAST_APPLIED, "")).items():
        name = OLDER.get(key, key)
        if value is not None or key in config or name not in schema.properties:
            continue
        if (default := schema.default(name)) is not None:
            yield warning(
                key,
                f"kubectl apply removed this null, so the default {quoted(default)} applies: use "
                "kubectl apply --server-side",
            )


def _applied_config(text: str) -> Mapping[str, Any]:
    """The config in the annotation; empty if it is invalid, because any user may write it."""
    try:
        config = parse_object(text, LAST_APPLIED)["spec"]["config"]
    except (ValueError, KeyError, TypeError):
        return {}
    return config if isinstance(config, Mapping) else {}
