# SPDX-License-Identifier: Apache-2.0
"""The result of only the key checks for a config that is valid except for the subject of a test."""

from collections.abc import Mapping
from typing import Any

import pytest

from finetune_spec.config.check.keys import KEY_CHECKS
from finetune_spec.config.parse.schema import load_schema
from finetune_spec.config.problem import Problem

GOOD: Mapping[str, Any] = {"model_name_or_path": "some/model", "dataset_name": "s3://data/set"}
SCHEMA = load_schema()
NO_KEY = "not a key of TRL's SFT config"


def found(config: Mapping[str, Any]) -> list[Problem]:
    return [problem for check in KEY_CHECKS for problem in check(config, SCHEMA)]


def refusals(changes: Mapping[str, Any]) -> list[str]:
    problems = found({**GOOD, **changes})
    return [str(problem) for problem in problems if not problem.is_warning]


def warnings(changes: Mapping[str, Any]) -> list[str]:
    return [str(problem) for problem in found({**GOOD, **changes}) if problem.is_warning]


def rows(table: Mapping[str, str]) -> list[Any]:
    """The written text -> its result, as parameters with ids."""
    return [pytest.param(written, outcome, id=written) for written, outcome in table.items()]
