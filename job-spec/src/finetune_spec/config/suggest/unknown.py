# SPDX-License-Identifier: Apache-2.0
"""The message for a key that TRL does not have. No I/O here."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from finetune_spec.config.parse.schema import Schema
from finetune_spec.config.parse.spellings import OLDER, RETIRED
from finetune_spec.config.problem import Problem
from finetune_spec.config.suggest.nearest import exact_key, likely_key, negated_key, normalize
from finetune_spec.config.suggest.nesting import is_section, key_in_section
from finetune_spec.config.suggest.other_tools import answer_for
from finetune_spec.config.suggest.owned import OPERATOR_OWNED
from finetune_spec.config.suggest.tables import places

MOST_TOLD = 50
"""Finding the nearest key takes a millisecond, and any user may send 20,000 keys."""

MOST_LOOKED_AT = 200
"""Keys to read in a possible section: the first known one makes it a section."""

_UNKNOWN = "not a key of TRL's SFT config"
_ADVICE = re.compile(r"\b(?:write|mean) ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """An unknown key, and the key that it most likely stands for."""

    problem: Problem
    meant: str | None = None

    @property
    def advised(self) -> frozenset[str]:
        """The words of the suggestion, including TRL's keys."""
        advice = _ADVICE.split(self.problem.message, maxsplit=1)[1:]
        return frozenset(re.findall(r"\w+", "".join(advice)))


def read_unknown(config: Mapping[str, Any], schema: Schema) -> Iterator[Unknown]:
    """The keys that TRL never had, also inside sections, up to a readable number."""
    found = _read_all(config, schema)
    yield from islice(found, MOST_TOLD)
    for first_untold in islice(found, 1):
        message = f"{_UNKNOWN}, and there may be more: correct the {MOST_TOLD} before it first"
        yield Unknown(problem=Problem(path=first_untold.problem.path, message=message))


def _read_all(config: Mapping[str, Any], schema: Schema) -> Iterator[Unknown]:
    for key, value in config.items():
        if key not in schema.properties and key not in OLDER and key not in RETIRED:
            yield from _read(str(key), value, schema)


def _read(word: str, value: Any, schema: Schema) -> Iterator[Unknown]:
    if normalize(word) not in places() and _is_section(word, value, schema):
        yield from _read_section(word, word, value, schema)
        return
    section, dot, inner = word.partition(".")
    if dot and (key := key_in_section(section, inner, schema)) is not None:
        yield _nested(word, key)
        return
    meant, advice = _advice(word, value, schema)
    message = f"{_UNKNOWN}{_strange_character(word)}{advice}"
    yield Unknown(problem=Problem(path=word, message=message), meant=meant)


def _strange_character(word: str) -> str:
    """An invisible one, for example copied from a web page."""
    strange = next((c for c in word if not c.isascii() and not c.isalpha()), None)
    if strange is None:
        return ""
    return f", because it contains the character U+{ord(strange):04X}"


def _is_section(word: str, value: Any, schema: Schema) -> bool:
    if not isinstance(value, Mapping) or not value:
        return False
    return is_section(word) or any(
        key_in_section(word, str(inner), schema) is not None
        or _is_section(str(inner), below, schema)
        for inner, below in islice(value.items(), MOST_LOOKED_AT)
    )


def _read_section(
    path: str, section: str, values: Mapping[str, Any], schema: Schema
) -> Iterator[Unknown]:
    for inner, value in ((str(inner), value) for inner, value in values.items()):
        place = f"{path}.{inner}"
        if (key := key_in_section(section, inner, schema)) is not None:
            yield _nested(place, key)
        elif normalize(inner) not in places() and _is_section(inner, value, schema):
            yield from _read_section(place, inner, value, schema)
        else:
            meant, advice = _advice(inner, value, schema)
            message = f"nested, and {_UNKNOWN}{advice}"
            yield Unknown(problem=Problem(path=place, message=message), meant=meant)


def _nested(path: str, key: str) -> Unknown:
    advice = _of_the_operator(key) or f", write {key} at the top level"
    return Unknown(problem=Problem(path=path, message=f"nested{advice}"), meant=key)


def _advice(word: str, value: Any, schema: Schema) -> tuple[str | None, str]:
    """The intended TRL key, and the text after `not a key of TRL's SFT config`.

    Precedence: a field of the job; a known name; the negation of one; a similar name.
    """
    snake = normalize(word)
    if snake in places():
        return None, f", write it outside of config, as {places()[snake]}"
    if (key := exact_key(word, schema)) is not None:
        verb = f", did you mean {key}?" if snake == key else f", write {key}"
        return key, _of_the_operator(key) or verb
    if (answer := answer_for(snake, value)) is not None:
        return None, f", {answer}"
    if snake in RETIRED:
        return None, f": {RETIRED[snake].instead}"
    if (key := negated_key(word, schema)) is not None:
        return key, f", write {key}: false"
    if (key := likely_key(word, schema)) is not None:
        return key, _of_the_operator(key) or f", did you mean {key}?"
    return None, ""


def _of_the_operator(key: str) -> str:
    instead = OPERATOR_OWNED.get(key)
    return f", and {key} is set by the operator: {instead}" if instead else ""
