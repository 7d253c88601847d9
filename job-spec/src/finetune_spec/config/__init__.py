# SPDX-License-Identifier: Apache-2.0
"""Checks a config without torch, alike in webhook, operator, `finetune validate` and trainer.

Door: `parse_config`.

problem      what a check says
bounds       how deep, long and large anything may be: asked first
schema       TRL's keys with types, choices, defaults and help, by version of TRL
spellings    older names of keys
reading      the config as rules read it, and what else they may know (`Context`)
sft_config   the config as everything else reads it: read once, and carried by type
keys         which keys there are
unknown      what is said of one that there is not (`nearest`, `nesting`, `other_*`)
owned        which are not the config's to set
values       of which type a value is
nested       what lies inside of it
choices      of which names it is one
texts        which form a text has; `places` of models and data, `data_formats` of rows, `functions`
ranges       between which numbers it lies
launch       what an accelerate config says, and what it stands for
rules        which values go together
advice       what runs and is seldom meant: warnings

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
"""Of a config, before its rules are asked."""


def parse_config(
    written: Mapping[str, Any], context: Context | None = None
) -> tuple[SftConfig, tuple[Problem, ...]]:
    """The config that all that follows carries, with everything that is wrong with it.

    This is the border: whoever has got an `SftConfig` reads no raw mapping. There is one for a
    wrong config too, as a job that an older operator accepted goes on; one that is beyond the
    bounds is not read at all.
    """
    context = context or Context()
    if (beyond := find_beyond(written, "")) is not None:
        return read_config({}, context.schema), (beyond,)
    config = read_config(written, context.schema)
    return config, check_config(config, context)


def check_config(config: SftConfig, context: Context) -> tuple[Problem, ...]:
    """Everything that is wrong with a config or seldom meant, in the order of its keys.

    A rule over several keys sees only those that are right by themselves: no mistake is told twice.
    """
    written, schema = config.written, config.schema
    problems = [problem for check in KEY_CHECKS for problem in check(written, schema)]
    refused = {problem.key for problem in problems if not problem.is_warning}
    for key, value in config.current.items():
        name = config.older.get(key, key)
        if key in schema.properties and name not in refused:
            problems += check_value(key, name, value, schema)
        if len(problems) >= MOST_PROBLEMS:
            # Nobody reads more, and to look for what was meant takes time.
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
    """Keys that another one, which is none, seems to be meant to set: who knows to what."""
    unknown = frozenset(word for each in read_unknown(config, schema) for word in each.advised)
    # What is said of LoRA is said by somebody who wants it.
    wants_adapter = any(word.startswith("lora_") for word in unknown)
    return unknown | {"use_peft"} if wants_adapter else unknown


def check_value(key: str, name: str, value: Any, schema: Schema) -> tuple[Problem, ...]:
    """What the first check says that has something to say: what is amiss is told once."""
    for check in VALUE_TABLE:
        problems = check(key, name, value, schema)
        for first in problems:
            return (first, *islice(problems, MOST_PROBLEMS - 1))
    return ()


def _say(
    rule: Callable[[Reading, Context], Iterator[Problem]], reading: Reading, context: Context
) -> tuple[Problem, ...]:
    try:
        return tuple(rule(reading, context))
    except UnreadableValue:
        return ()
