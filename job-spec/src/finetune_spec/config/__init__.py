# SPDX-License-Identifier: Apache-2.0
"""Checks a config without torch, alike in webhook, operator, `finetune validate` and trainer.

Door: `parse_config`.

problem      the result of a check
bounds       limits of depth, length and size, checked first
schema       TRL's keys with types, choices, defaults and help, by version of TRL
spellings    older names of keys
reading      the config as rules read it, and their other input (`Context`)
sft_config   the config as all other code reads it: parsed once into a type
keys         checks of the keys
unknown      messages for unknown keys (`nearest`, `nesting`, `other_*`)
owned        keys that the operator sets
values       checks of the values' types
nested       contents of objects and lists
choices      values from a fixed set of names
texts        formats of strings; `places` of models and data, `data_formats` of rows, `functions`
ranges       limits of numbers
launch       an accelerate config, and the keys it resolves to
rules        values that must agree with each other
advice       warnings about valid but suspicious settings

Each of the last nine is a table of small functions: a new check is one function and one entry.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from finetune_spec.config.bounds import find_beyond
from finetune_spec.config.check.advice import ADVICE
from finetune_spec.config.check.choices import CHOICE_CHECKS
from finetune_spec.config.check.keys import KEY_CHECKS
from finetune_spec.config.check.launch import LAUNCH_CHECKS
from finetune_spec.config.check.nested import NESTED_CHECKS
from finetune_spec.config.check.ranges import RANGE_CHECKS
from finetune_spec.config.check.rules import RULES
from finetune_spec.config.check.texts import TEXT_CHECKS
from finetune_spec.config.check.values import VALUE_CHECKS
from finetune_spec.config.parse.launch.resolution import KEY, resolve_launch
from finetune_spec.config.parse.reading import Context, Reading, UnreadableValue
from finetune_spec.config.parse.schema import Schema
from finetune_spec.config.parse.sft_config import SftConfig, read_config
from finetune_spec.config.problem import Problem
from finetune_spec.config.suggest.unknown import read_unknown

__all__ = ["Context", "Problem", "SftConfig", "check_config", "parse_config", "read_config"]

VALUE_TABLE = (
    VALUE_CHECKS + NESTED_CHECKS + CHOICE_CHECKS + TEXT_CHECKS + RANGE_CHECKS + LAUNCH_CHECKS
)
RULE_TABLE = RULES + ADVICE

MOST_PROBLEMS = 200
"""The most that are reported for all keys before the rules, for one key, and for one rule."""


def parse_config(
    written: Mapping[str, Any], context: Context | None = None
) -> tuple[SftConfig, tuple[Problem, ...]]:
    """The typed config for all later steps, with every problem of the raw one.

    This is the border: code that has an `SftConfig` reads no raw mapping. An invalid config gets
    one too, because a job that an older operator accepted continues. A config beyond the bounds is
    not read.
    """
    context = context or Context()
    if (beyond := find_beyond(written, "")) is not None:
        return read_config({}, context.schema), (beyond,)
    config = read_config(written, context.schema)
    return config, check_config(config, context)


def check_config(config: SftConfig, context: Context) -> tuple[Problem, ...]:
    """All errors and suspicious values of a config, in the order of its keys.

    A rule over several keys sees only those that are valid by themselves, so no error is reported
    twice.
    """
    written, schema = config.written, config.schema
    problems = [problem for check in KEY_CHECKS for problem in check(written, schema)]
    refused = {problem.key for problem in problems if not problem.is_warning}
    for key, value in config.current.items():
        name = config.older.get(key, key)
        if key in schema.properties and name not in refused:
            problems += check_value(key, name, value, schema)
        if len(problems) >= MOST_PROBLEMS:
            # Nobody reads more, and finding suggestions takes time.
            return tuple(problems[:MOST_PROBLEMS])
    wrong = {problem.key for problem in problems if not problem.is_warning}
    sound = {
        key: value
        for key, value in config.current.items()
        if key in schema.properties and config.older.get(key, key) not in wrong
    }
    launch = config.launch if len(sound) == len(config.current) else resolve_launch(sound)
    for key, place in launch.origins.items():
        problems += check_value(key, place, launch.values[key], schema)
    reading = Reading(
        values=launch.values | {key: sound[key] for key in (KEY,) if key in sound},
        schema=schema,
        spellings={**config.older, **launch.origins},
        wrong=frozenset(key for key in config.current if config.older.get(key, key) in wrong)
        | _meant_elsewhere(written, schema),
    )
    problems += [problem for rule in RULE_TABLE for problem in _say(rule, reading, context)]
    order = {key: place for place, key in enumerate(written)}
    return tuple(sorted(problems, key=lambda problem: order.get(problem.key, len(order))))


def _meant_elsewhere(config: Mapping[str, Any], schema: Schema) -> frozenset[str]:
    """Keys that unknown keys were probably meant to set."""
    unknown = frozenset(word for each in read_unknown(config, schema) for word in each.advised)
    wants_adapter = any(word.startswith("lora_") for word in unknown)
    return unknown | {"use_peft"} if wants_adapter else unknown


def check_value(key: str, name: str, value: Any, schema: Schema) -> tuple[Problem, ...]:
    """The problems of the first check that has any: each error is reported once."""
    for check in VALUE_TABLE:
        problems = check(key, name, value, schema)
        for first in problems:
            return (first, *islice(problems, MOST_PROBLEMS - 1))
    return ()


def _say(
    rule: Callable[[Reading, Context], Iterator[Problem]], reading: Reading, context: Context
) -> tuple[Problem, ...]:
    try:
        return tuple(islice(rule(reading, context), MOST_PROBLEMS))
    except UnreadableValue:
        return ()
