# SPDX-License-Identifier: Apache-2.0
"""The check's result for one value, without the rules over several keys."""

from typing import Any

from finetune_spec.config import check_value
from finetune_spec.config.parse.schema import load_schema


def refusals(key: str, value: Any) -> list[str]:
    """The sentences that refuse the value."""
    return [str(problem) for problem in _check(key, value) if not problem.is_warning]


def warnings(key: str, value: Any) -> list[str]:
    return [str(problem) for problem in _check(key, value) if problem.is_warning]


def _check(key: str, value: Any) -> Any:
    return check_value(key, key, value, load_schema())
