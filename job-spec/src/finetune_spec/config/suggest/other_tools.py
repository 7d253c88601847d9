# SPDX-License-Identifier: Apache-2.0
"""The replacement for a key that only another tool has, or that has other values there."""

from typing import Any

from finetune_spec.config.suggest.tables import answers_by_value, other_tools


def answer_for(key: str, value: Any) -> str | None:
    """The replacement for another tool's key with this value; None if it is no such key."""
    by_value = answers_by_value().get(key, {})
    said = by_value.get(value if isinstance(value, bool) else str(value).lower())
    return other_tools().get(key) if said is None else said
