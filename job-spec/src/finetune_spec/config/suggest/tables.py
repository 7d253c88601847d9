# SPDX-License-Identifier: Apache-2.0
"""Other tools' words, read from the TOML files in `words/` when a config first needs them.

A valid config never does. Each function returns the same mapping every time. Each file maps the
intended key, or the message, to the words that are commonly written for it.
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from finetune_spec.config.problem import quoted

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

Words = Mapping[str, str]
"""A written word -> the intended one, or the message."""

_FOLDER = "words"
"""Next to this module: a directory, or a part of the archive of `kubectl finetune`."""


class BrokenTable(ValueError):
    """A file of words with another form than its reader expects: a bug of this package."""


@cache
def other_names() -> Words:
    """Another tool's name for a key -> TRL's key."""
    return by_word(*_read("other_names"))


@cache
def other_tools() -> Words:
    """Key that only another tool has -> the replacement."""
    return by_word(*_read("other_tools"))


@cache
def places() -> Words:
    """Field of another part of a FineTuneJob -> its place."""
    return by_word(*_read("places"))


@cache
def choice_habits() -> Mapping[str, Words]:
    """Key -> a common word for a choice, in lower case -> its name."""
    table, file = _read("choice_habits")
    return {key: by_word(words, f"{file}: {key}") for key, words in table.items()}


@cache
def sections() -> Mapping[str, Words]:
    """Section -> the meaning of keys in it that differ at the top level."""
    return by_group(_sections()[1], "sections.toml: sections")


@cache
def wrappers() -> frozenset[str]:
    """Sections whose keys have the same meaning as at the top level."""
    return frozenset(_texts(_sections()[0], "sections.toml: wrappers"))


@cache
def answers_by_value() -> Mapping[str, Mapping[bool | str, str]]:
    """Key that only another tool has -> its value, a text in lower case -> the replacement."""
    table, file = _read("other_values")
    where_true, where_false, texts = fields(table, file, "where_true", "where_false", "texts")
    found: dict[str, dict[bool | str, str]] = {}
    for value, words in ((True, where_true), (False, where_false)):
        for key, answer in by_word(words, f"{file}: where_{str(value).lower()}").items():
            found.setdefault(key, {})[value] = answer
    for key, answers in by_group(texts, f"{file}: texts").items():
        found.setdefault(key, {}).update(answers)
    return found


def by_word(table: Any, place: str) -> Words:
    """From `meant = [words]` to word -> meant; no word may have two meanings."""
    found: dict[str, str] = {}
    for meant, words in _mapping(table, place).items():
        for word in _texts(words, f"{place}: {meant}"):
            _refuse_second(word, found, place)
            found[word] = meant
    return found


def by_group(groups: Any, place: str) -> Mapping[str, Words]:
    """From blocks of `words` and their meaning (`means`) to word -> meaning."""
    if not isinstance(groups, list):
        raise BrokenTable(f"{place}: found {quoted(groups)}, expected blocks of words and means")
    found: dict[str, Words] = {}
    for index, group in enumerate(groups):
        words, means = fields(group, f"{place}[{index}]", "words", "means")
        meanings = by_word(means, f"{place}[{index}].means")
        for word in _texts(words, f"{place}[{index}].words"):
            _refuse_second(word, found, place)
            found[word] = meanings
    return found


def fields(table: Any, place: str, *names: str) -> tuple[Any, ...]:
    """The values of these names, which must be the only ones of the table."""
    if set(_mapping(table, place)) != set(names):
        raise BrokenTable(f"{place}: found {', '.join(table)}, expected {', '.join(names)}")
    return tuple(table[name] for name in names)


def read(file: "Traversable") -> Mapping[str, Any]:
    # A valid config needs no table, and so no parser either.
    import tomllib

    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise BrokenTable(f"{file.name}: {error}") from error


def _read(name: str) -> tuple[Mapping[str, Any], str]:
    # Imported late, like the parser of TOML.
    from importlib import resources

    file = f"{name}.toml"
    return read(resources.files(__package__).joinpath(_FOLDER, file)), file


@cache
def _sections() -> tuple[Any, ...]:
    return fields(*_read("sections"), "wrappers", "sections")


def _mapping(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BrokenTable(f"{place}: found {quoted(value)}, expected a table")
    return value


def _texts(value: Any, place: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise BrokenTable(f"{place}: found {quoted(value)}, expected texts")
    return value


def _refuse_second(word: str, found: Mapping[str, Any], place: str) -> None:
    if word in found:
        raise BrokenTable(f"{place}: {word} is listed twice, with two meanings")
