# SPDX-License-Identifier: Apache-2.0
"""The check accepts any JSON in a config, and has the same result each time."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from finetune_spec.config import Context
from finetune_spec.config.parse.schema import load_schema
from finetune_spec.job import check_job
from support.config_verdicts import problems_of
from trainer.config_fuzz.generator import fuzz, right_config

SCHEMA = load_schema()
KEYS = sorted(SCHEMA.properties)
WORDS = ("", " ", "true", "1e-4", "0x10", "é", "\u202e", "a\nb", "[", "{}", "s3://", "auto", "none")
NUMBERS = (0, -1, 1, 2.5, 1e308, -1e-308, 10**400, -(10**400), float("inf"), float("nan"))
CONTEXTS = (
    Context(),
    Context(nodes=1, processes_per_node=1, gpus_per_node=0, environment=frozenset()),
    Context(nodes=2, processes_per_node=8, gpus_per_node=8, model={}),
)


def any_value(dice: random.Random, depth: int = 0) -> Any:
    kinds = ("word", "number", "bool", "null") + (("list", "mapping") if depth < 4 else ())
    match dice.choice(kinds):
        case "word":
            return dice.choice((*WORDS, *KEYS))
        case "number":
            return dice.choice(NUMBERS)
        case "bool":
            return dice.choice((True, False))
        case "null":
            return None
        case "list":
            return [any_value(dice, depth + 1) for _ in range(dice.randrange(4))]
    return {any_key(dice): any_value(dice, depth + 1) for _ in range(dice.randrange(4))}


def any_key(dice: random.Random) -> str:
    return dice.choice((*KEYS, *WORDS, "path", "version", "zero_optimization", "lora", "spec"))


def any_configs(seed: int) -> Iterator[dict[str, Any]]:
    for number in range(200):
        dice = random.Random(f"{seed}-{number}")  # noqa: S311 - no secret
        yield {any_key(dice): any_value(dice) for _ in range(dice.randrange(12))}


def one_value_of_each_kind() -> Iterator[Any]:
    yield from (*WORDS, *NUMBERS, True, False, None, [], [None], [[]], {}, {"a": None})
    yield from ([{}], [{"path": 1}], {"stage": []}, {"version": []}, {"zero_optimization": 1})


@pytest.mark.parametrize("context", CONTEXTS, ids=["nothing known", "CPUs", "GPUs"])
@pytest.mark.parametrize("seed", range(3))
def test_any_config_can_be_checked(seed: int, context: Context) -> None:
    for config in any_configs(seed):
        for problem in problems_of(config, context):
            assert problem.message, config
            assert isinstance(problem.path, str)
            assert "\n" not in problem.message, problem


@pytest.mark.parametrize("context", CONTEXTS, ids=["nothing known", "CPUs", "GPUs"])
def test_any_value_of_a_key_can_be_checked(context: Context) -> None:
    for key in KEYS:
        for value in one_value_of_each_kind():
            problems_of({"model_name_or_path": "m", "dataset_name": "d", key: value}, context)


def test_any_value_can_be_checked_among_all_other_keys() -> None:
    usual = right_config(SCHEMA)
    for key in KEYS:
        problems_of({**usual, key: {"strange": [1]}})
        problems_of({**usual, key: 10**400})


def test_any_config_of_a_job_can_be_checked() -> None:
    for config in any_configs(seed=9):
        problems = check_job({"config": config, "output": {"uri": "s3://models/balloon"}}).problems

        assert all(problem.path.startswith("spec.config.") for problem in problems)


def test_a_config_sent_as_json_gets_the_same_answer() -> None:
    for fuzzed in fuzz(SCHEMA, seed=21, count=500):
        sent = json.loads(json.dumps(fuzzed.config))

        assert problems_of(sent) == problems_of(fuzzed.config)


def test_a_check_does_not_change_its_config() -> None:
    for fuzzed in fuzz(SCHEMA, seed=22, count=200):
        before = json.dumps(fuzzed.config)
        problems_of(fuzzed.config)

        assert json.dumps(fuzzed.config) == before
