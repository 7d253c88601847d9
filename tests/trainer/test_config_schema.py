# SPDX-License-Identifier: Apache-2.0
"""The schema has exactly the keys of the pinned TRL's parser."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from finetune_spec.config.parse.schema import load_schema
from support.config_verdicts import problems_of

pytestmark = pytest.mark.slow  # Importing TRL takes a quarter of a minute.

PROPERTIES: Mapping[str, Any] = load_schema().properties


@pytest.fixture(scope="module")
def parser() -> Any:
    from trl import TrlParser

    from finetune_trainer.ranks.arguments import CONFIG_TYPES

    return TrlParser(CONFIG_TYPES)


def test_the_schema_and_the_parser_have_the_same_keys(parser: Any) -> None:
    taken = {action.dest for action in parser._actions if action.dest != "help"}

    assert taken | {"env"} == set(PROPERTIES)


def test_the_contract_has_the_schema_of_the_pinned_trl() -> None:
    from finetune_trainer.config_schema import build_schema

    assert json.loads(json.dumps(build_schema()["properties"])) == PROPERTIES


def test_trls_own_defaults_are_accepted() -> None:
    defaults = {key: schema["default"] for key, schema in PROPERTIES.items() if "default" in schema}
    # From a file its parser refuses this key's default, a string.
    del defaults["debug"]
    config = {"model_name_or_path": "m", "dataset_name": "d", **defaults}

    assert [str(problem) for problem in problems_of(config) if not problem.is_warning] == []


def test_the_choices_match_those_the_parser_enforces(parser: Any) -> None:
    enforced = {
        action.dest: list(action.choices)
        for action in parser._actions
        if action.choices is not None
    }

    assert {
        key: [choice for choice in schema["enum"] if choice is not None]
        for key, schema in PROPERTIES.items()
        if "enum" in schema
    } == enforced
