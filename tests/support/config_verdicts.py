# SPDX-License-Identifier: Apache-2.0
"""The check's result for a config that is valid except for the subject of a test."""

from collections.abc import Mapping
from typing import Any

from finetune_spec.config import Context, Problem, parse_config

GOOD: Mapping[str, Any] = {"model_name_or_path": "some/model", "dataset_name": "s3://data/set"}


def refusals(changes: Mapping[str, Any], **known: Any) -> list[str]:
    """The errors, with these facts about the context."""
    problems = problems_of({**GOOD, **changes}, Context(**known))
    return [str(problem) for problem in problems if not problem.is_warning]


def warnings(changes: Mapping[str, Any], **known: Any) -> list[str]:
    problems = problems_of({**GOOD, **changes}, Context(**known))
    return [str(problem) for problem in problems if problem.is_warning]


def problems_of(written: Mapping[str, Any], context: Context | None = None) -> tuple[Problem, ...]:
    return parse_config(written, context)[1]
