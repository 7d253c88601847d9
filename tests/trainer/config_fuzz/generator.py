# SPDX-License-Identifier: Apache-2.0
"""Generates configs from the schema, valid and invalid; the same seed gives the same ones. Pure."""

import random
from collections.abc import Iterator, Mapping
from typing import Any

from finetune_spec.config.parse.schema import Schema
from trainer.config_fuzz.combinations import COMBINATIONS
from trainer.config_fuzz.draws import Draw, Fuzzed, Kind
from trainer.config_fuzz.number_values import NUMBERS
from trainer.config_fuzz.text_values import BEYOND, VALUES

BASE = {"model_name_or_path": "org/model", "dataset_name": "org/data"}

OLDER = {"torch_dtype": "dtype", "max_seq_length": "max_length"}

_YAML_TRAPS = (
    True,
    False,
    "1e-4",
    "1_000",
    "on",
    "off",
    "yes",
    "None",
    "null",
    "~",
    90,
    0o10,
    "0x10",
)
"""`on` becomes true and `1:30` becomes 90 before our code reads them."""

_WORDS = ("eight", "auto", "", "1e", "8k", "-", "ten percent")
_SECTIONS = ("lora", "training", "peft_config", "model", "sft", "args", "trainer")


def fuzz(schema: Schema, *, seed: int, count: int) -> Iterator[Fuzzed]:
    """`count` configs, half of them with valid parts."""
    for number in range(count):
        dice = random.Random(f"{seed}-{number}")  # noqa: S311 - no secret
        yield _fuzzed(dice, number, schema)


def keys_of(schema: Schema) -> list[str]:
    """The keys that a config of YAML can set."""
    return sorted(key for key in schema.properties if key not in BEYOND)


def right_config(schema: Schema) -> dict[str, Any]:
    """Every key, each with a value that is valid by itself."""
    dice = random.Random(0)  # noqa: S311 - no secret
    return {key: _right(dice, key, schema).value for key in keys_of(schema)} | BASE


def _fuzzed(dice: random.Random, number: int, schema: Schema) -> Fuzzed:
    drawn = {key: Draw(key=key, value=value, kind=Kind.TYPICAL) for key, value in BASE.items()}
    if dice.random() < 0.4:
        for draw in _together(dice):
            drawn[draw.key] = draw
    keys = dice.sample(keys_of(schema), k=min(dice.choice((1, 2, 3, 5, 8, 20)), 20))
    for key in keys:
        if key not in drawn:
            drawn[key] = _right(dice, key, schema)
    if dice.random() < 0.5:
        for key in dice.sample(keys, k=min(len(keys), dice.choice((1, 1, 1, 2)))):
            wrong = _wrong(dice, key, schema)
            drawn.pop(key, None)
            drawn[wrong.key] = wrong
    _spell_older(dice, drawn)
    return Fuzzed(number=number, draws=tuple(drawn.values()), gpus=dice.choice((0, 1)))


def _together(dice: random.Random) -> Iterator[Draw]:
    for key, values in dice.choice(COMBINATIONS).items():
        if (value := dice.choice(values)) is not None:
            yield Draw(key=key, value=value, kind=Kind.TOGETHER)


def _spell_older(dice: random.Random, drawn: dict[str, Draw]) -> None:
    for old, new in OLDER.items():
        if new in drawn and drawn[new].kind is Kind.TYPICAL and dice.random() < 0.3:
            drawn[old] = Draw(key=old, value=drawn.pop(new).value, kind=Kind.OLDER)


def _right(dice: random.Random, key: str, schema: Schema) -> Draw:
    """A value that is valid for the key, whatever else is set."""
    choices = [choice for choice in schema.properties[key].get("enum", ()) if choice is not None]
    if choices:
        return Draw(key=key, value=dice.choice(choices), kind=Kind.CHOICE)
    if key in VALUES:
        return Draw(key=key, value=dice.choice(VALUES[key].typical), kind=Kind.TYPICAL)
    if key in NUMBERS:
        return _right_number(dice, key, schema)
    return Draw(key=key, value=dice.choice((True, False)), kind=Kind.TYPICAL)


def _right_number(dice: random.Random, key: str, schema: Schema) -> Draw:
    numbers = NUMBERS[key]
    if numbers.boundary and dice.random() < 0.3:
        return Draw(key=key, value=dice.choice(numbers.boundary), kind=Kind.BOUNDARY)
    value = dice.choice(numbers.typical)
    if isinstance(value, int) and "integer" in schema.types(key) and dice.random() < 0.2:
        return Draw(key=key, value=float(value), kind=Kind.WHOLE_FLOAT)
    return Draw(key=key, value=value, kind=Kind.TYPICAL)


def _wrong(dice: random.Random, key: str, schema: Schema) -> Draw:
    """The key misspelt or misplaced, or with an invalid value."""
    fate = dice.random()
    if fate < 0.15:
        misspelt = _misspelt(dice, key)
        return Draw(key=misspelt, value=_right(dice, key, schema).value, kind=Kind.TYPO)
    if fate < 0.2:
        section = {key: _right(dice, key, schema).value}
        return Draw(key=dice.choice(_SECTIONS), value=section, kind=Kind.NESTED)
    if fate < 0.3:
        return Draw(key=key, value=dice.choice(_YAML_TRAPS), kind=Kind.YAML_TRAP)
    kind, values = dice.choice(list(_wrong_values(key, schema).items()))
    return Draw(key=key, value=dice.choice(values), kind=kind)


def _misspelt(dice: random.Random, key: str) -> str:
    """With two letters swapped, one dropped, one doubled, or hyphens or capitals."""
    place = dice.randrange(1, len(key) - 1)
    before, here, after = key[:place], key[place], key[place + 1 :]
    swapped = before + after[0] + here + after[1:]
    return dice.choice(
        (swapped, before + after, before + here + here + after, key.replace("_", "-"), key.upper())
    )


def _wrong_values(key: str, schema: Schema) -> Mapping[Kind, tuple[Any, ...]]:
    found: dict[Kind, tuple[Any, ...]] = {Kind.NULL: (None,)}
    if schema.properties[key].get("enum"):
        found |= {
            Kind.NO_CHOICE: ("nope", "", schema.properties[key]["enum"][0].upper()),
            Kind.NUMBER_FOR_TEXT: (1, 0.5),
            Kind.BOOL_FOR_OTHER: (True, False),
            Kind.LIST: ([schema.properties[key]["enum"][0]],),
        }
    elif key in NUMBERS:
        found |= _wrong_numbers(key, schema)
    elif key in VALUES:
        found |= _wrong_texts(key, schema)
    else:
        found |= {
            Kind.TEXT_FOR_BOOL: ("true", "False", "yes", "maybe", ""),
            Kind.NUMBER_FOR_BOOL: (0, 1, 2, 0.5),
            Kind.LIST: ([True], []),
            Kind.MAPPING: ({"enabled": True}, {}),
        }
    return found


def _wrong_numbers(key: str, schema: Schema) -> dict[Kind, tuple[Any, ...]]:
    numbers = NUMBERS[key]
    found: dict[Kind, tuple[Any, ...]] = {
        Kind.TEXT_FOR_NUMBER: _WORDS,
        Kind.NUMBER_IN_QUOTES: tuple(str(value) for value in numbers.typical if value != "auto"),
        Kind.BOOL_FOR_OTHER: (True, False),
        Kind.LIST: ([numbers.typical[0]], []),
        Kind.MAPPING: ({"value": numbers.typical[0]}, {}),
    }
    if numbers.outside:
        found[Kind.OUTSIDE] = numbers.outside
    if "number" not in schema.types(key):
        found[Kind.FRACTION] = (2.5, 0.1)
    return found


def _wrong_texts(key: str, schema: Schema) -> dict[Kind, tuple[Any, ...]]:
    types = schema.types(key)
    found: dict[Kind, tuple[Any, ...]] = {
        Kind.NUMBER_FOR_TEXT: (7, 0.5),
        Kind.BOOL_FOR_OTHER: (True, False),
    }
    if VALUES[key].wrong:
        found[Kind.NO_CHOICE] = VALUES[key].wrong
    if "array" not in types:
        found[Kind.LIST] = (["a"], [])
    if "object" not in types:
        found[Kind.MAPPING] = ({"a": 1}, {})
    return found
