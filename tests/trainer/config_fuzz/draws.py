# SPDX-License-Identifier: Apache-2.0
"""The parts of a fuzzed config: keys, each with a value of some kind. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """The kind of a key's value; the valid kinds come first."""

    TYPICAL = "typical"
    BOUNDARY = "boundary"
    CHOICE = "another choice"
    WHOLE_FLOAT = "whole number as 8.0"
    OLDER = "older spelling"
    TOGETHER = "keys that know each other"
    TEXT_FOR_NUMBER = "text for a number"
    NUMBER_IN_QUOTES = "number in quotes"
    FRACTION = "fraction for a whole number"
    NUMBER_FOR_TEXT = "number for a text"
    BOOL_FOR_OTHER = "true or false for something else"
    TEXT_FOR_BOOL = "text for true or false"
    NUMBER_FOR_BOOL = "number for true or false"
    LIST = "list for one value"
    MAPPING = "mapping for one value"
    NULL = "null"
    OUTSIDE = "out of range"
    NO_CHOICE = "none of the choices"
    YAML_TRAP = "what YAML 1.1 makes of a word"
    TYPO = "a key misspelt"
    NESTED = "a key in a section of its own"


RIGHT = frozenset(
    {
        Kind.TYPICAL,
        Kind.BOUNDARY,
        Kind.CHOICE,
        Kind.WHOLE_FLOAT,
        Kind.OLDER,
        Kind.TOGETHER,
    }
)
"""Kinds whose values are valid one by one; the parser must judge their combination."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One key of a fuzzed config."""

    key: str
    """As in the config: possibly misspelt."""
    value: Any
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Fuzzed:
    """A config, and its draws."""

    number: int
    draws: tuple[Draw, ...]
    gpus: int
    """On the node that it is for."""

    @property
    def config(self) -> dict[str, Any]:
        return {draw.key: draw.value for draw in self.draws}

    @property
    def kinds(self) -> Mapping[str, Kind]:
        return {draw.key: draw.kind for draw in self.draws}

    @property
    def is_right_by_parts(self) -> bool:
        return all(draw.kind in RIGHT for draw in self.draws)
