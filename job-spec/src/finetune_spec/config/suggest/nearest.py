# SPDX-License-Identifier: Apache-2.0
"""The TRL key that an unknown key probably stands for. No I/O here.

The tables of names come first; similarity is only a guess, and comes last.
"""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from finetune_spec.config.parse.schema import Schema
from finetune_spec.config.parse.spellings import OLDER
from finetune_spec.config.suggest.tables import other_names

_CUTOFF = 0.8
_CUTOFF_OF_OTHERS = 0.88
_CUTOFF_OF_WORDS = 0.6
"""Words below this similarity count as different: a wrong hint costs more than none."""

_SHORTEST = 7
"""Shorter names of other tools are similar to too many words."""

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SEPARATORS = re.compile(r"[-\s./_]+")
_BRITISH = (("optimis", "optimiz"), ("tokenis", "tokeniz"), ("quantis", "quantiz"))
_PREFIXES = (
    *("use_", "lora_", "dataset_", "num_", "per_device_", "enable_"),
    *("dataloader_", "ddp_"),
)
"""Words that are often omitted from a key, or added in front of it."""


def normalize(word: str) -> str:
    """`--learningRate` as `learning_rate`."""
    snake = _SEPARATORS.sub("_", _HUMP.sub("_", word.strip().lstrip("-"))).strip("_").lower()
    for british, american in _BRITISH:
        snake = snake.replace(british, american)
    return snake


def exact_key(word: str, schema: Schema) -> str | None:
    """The TRL key of its own name, an older one, or another tool's, in any notation."""
    return _exact_key(word, schema.properties) or _exact_key(normalize(word), schema.properties)


def negated_key(word: str, schema: Schema) -> str | None:
    """The key that `no_gradient_checkpointing` switches off, as on TRL's command line."""
    snake = normalize(word)
    for prefix in ("no_", "disable_"):
        key = snake.removeprefix(prefix)
        if key != snake and "boolean" in schema.properties.get(key, {}).get("type", ()):
            return key
    return None


def likely_key(word: str, schema: Schema) -> str | None:
    """The most similar TRL key; None if none is similar."""
    snake = normalize(word)
    for candidate in _variants(snake):
        if (key := _exact_key(candidate, schema.properties)) is not None:
            return key
    names = _names_of(frozenset(schema.properties))
    name = names.by_words.get(_words(snake)) or names.squashed.get(snake.replace("_", ""))
    if name is None:
        name = _alike(snake, names.own, _CUTOFF)
    if name is None:
        name = _alike(snake, names.others, _CUTOFF_OF_OTHERS)
    return name and _exact_key(name, schema.properties)


@lru_cache(maxsize=1024)
def _alike(snake: str, names: tuple[str, ...], cutoff: float) -> str | None:
    """The most similar name, with each word similar to one of its words."""
    # The similarity is limited by the length, so names of another length need no comparison.
    near = [name for name in names if abs(len(name) - len(snake)) <= 1 + len(snake) // 4]
    for name in difflib.get_close_matches(snake, near, n=3, cutoff=cutoff):
        if "_" not in snake or all(_is_like_one(word, name) for word in snake.split("_")):
            return name
    return None


def _is_like_one(word: str, name: str) -> bool:
    return bool(difflib.get_close_matches(word, name.split("_"), n=1, cutoff=_CUTOFF_OF_WORDS))


def _exact_key(name: str, keys: Collection[str]) -> str | None:
    candidates = (name, OLDER.get(name), other_names().get(name))
    return next((key for key in candidates if key is not None and key in keys), None)


def _variants(snake: str) -> Iterator[str]:
    for prefix in _PREFIXES:
        yield snake.removeprefix(prefix)
        yield prefix + snake


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """Every name that is known for a key."""

    own: tuple[str, ...]
    others: tuple[str, ...]
    by_words: Mapping[frozenset[str], str]
    squashed: Mapping[str, str]


@cache
def _names_of(keys: frozenset[str]) -> _Names:
    others = [name for name in (*OLDER, *other_names()) if len(name) >= _SHORTEST]
    # If several are equally near, TRL's own counts: it comes first here, and last below.
    names = tuple(dict.fromkeys((*sorted(keys), *others)))
    return _Names(
        own=tuple(sorted(keys)),
        others=tuple(others),
        by_words={_words(name): name for name in reversed(names)},
        squashed={name.replace("_", ""): name for name in reversed(names)},
    )


def _words(name: str) -> frozenset[str]:
    """The words of a key, as a set."""
    return frozenset(word if len(word) < 4 else word.removesuffix("s") for word in name.split("_"))
