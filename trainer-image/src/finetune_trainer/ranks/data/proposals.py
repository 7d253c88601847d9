# SPDX-License-Identifier: Apache-2.0
"""The config key that maps the data's columns to TRL's. Pure: a row in, a remedy out.

A remedy is valid text for `config`, so that it can be copied: a test does so.
"""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from finetune_spec.config.parse.data_formats import FORMATS, Format

_ALIASES: Mapping[str, tuple[str, ...]] = {
    "instruction": ("prompt", "question", "query", "task"),
    "input": ("context",),
    "output": ("response", "answer", "completion", "target"),
    "question": ("query", "prompt", "instruction", "problem", "input", "user", "human"),
    "answer": ("response", "answers", "output", "completion", "solution", "assistant", "target"),
    "conversations": ("conversation", "messages", "dialog", "dialogue", "chat"),
    "messages": ("conversation", "conversations", "dialog", "dialogue", "chat"),
    "prompt": ("question", "query", "instruction", "input", "problem", "source"),
    "completion": ("response", "answer", "output", "solution", "target", "chosen"),
}
"""Other names for a column, the likeliest first."""

_TEXTS = ("text", "content", "body", "document", "article", "passage")

_WORDS = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")
"""Words that YAML does not read as a text."""

_NEARLY = 0.8
"""The similarity above which one name counts as a misspelling of the other."""


def named(column: str, columns: Collection[str]) -> str | None:
    """The data's name for a column: in other letter case, another common name, or a similar one."""
    by_letters = {_letters(name): name for name in reversed(list(columns))}
    for alias in (column, *_ALIASES.get(column, ())):
        if (found := by_letters.get(_letters(alias))) is not None:
            return found
    near = difflib.get_close_matches(_letters(column), by_letters, n=1, cutoff=_NEARLY)
    return by_letters[near[0]] if near else None


def proposal(row: Mapping[str, Any], text_field: str = "text") -> str:
    """The key that would shape rows like this one."""
    return next(_proposals(row, text_field)) + ", or rename the columns"


def _proposals(row: Mapping[str, Any], text_field: str) -> Iterator[str]:
    columns = list(row)
    for name, shape in FORMATS.items():
        if set(shape.needed) <= set(columns):
            yield f"set dataset_format: {name}"
    yield from _of_conversations(row)
    for name, shape in FORMATS.items():
        if (mapping := _in_other_letters(shape, columns)) is not None:
            yield f"set dataset_format: {name} and dataset_columns: {_flow(mapping)}"
    if len(columns) == 1 and _is_pair(row[columns[0]]):
        yield "set dataset_format: pairs"
    spoken = [name for name in columns if isinstance(row[name], str | list)]
    prompt = named("prompt", spoken)
    completion = named("completion", [name for name in spoken if name != prompt])
    if prompt and completion:
        yield f"set dataset_columns: {_flow({'prompt': prompt, 'completion': completion})}"
    texts = [name for name in columns if isinstance(row[name], str)]
    near = [name for name in (named(each, texts) for each in (text_field, *_TEXTS)) if name]
    for name in texts if len(texts) == 1 else near:
        yield f"set dataset_text_field: {_plain(name)}"
    yield "set dataset_columns, such as {prompt: ..., completion: ...}, or prompt_template"


def _of_conversations(row: Mapping[str, Any]) -> Iterator[str]:
    """For a column of any name: turns are turns."""
    known = [name for column in ("messages", "conversations") if (name := named(column, row))]
    for name in dict.fromkeys((*known, *row)):
        turns = row[name]
        if not isinstance(turns, list) or not turns or not isinstance(turns[0], Mapping):
            continue
        if "from" in turns[0]:
            mapping = _flow({"conversations": name})
            yield f"set dataset_format: sharegpt and dataset_columns: {mapping}"
        elif "role" in turns[0]:
            yield f"set dataset_columns: {_flow({'messages': name})}"


def _in_other_letters(shape: Format, columns: Sequence[str]) -> Mapping[str, str] | None:
    """The columns of a format that differ only in letter case, for example; None if one is
    missing.
    """
    by_letters = {_letters(name): name for name in columns}
    if not all(_letters(name) in by_letters for name in shape.needed):
        return None
    return {
        name: by_letters[_letters(name)]
        for name in shape.columns
        if by_letters.get(_letters(name), name) != name
    }


def _is_pair(value: Any) -> bool:
    is_pair = isinstance(value, list) and len(value) == 2
    return is_pair and not any(isinstance(part, Mapping) for part in value)


def _letters(name: str) -> str:
    return re.sub(r"[^0-9a-z]", "", name.lower()) or name


def _flow(mapping: Mapping[str, str]) -> str:
    """A mapping as YAML in one line."""
    return "{" + ", ".join(f"{name}: {_plain(value)}" for name, value in mapping.items()) + "}"


def _plain(text: str) -> str:
    """A name for YAML: quoted if it could be read as something else."""
    is_plain = re.fullmatch(r"[A-Za-z_][\w .-]*(?<! )", text) and text.lower() not in _WORDS
    quoted = text.replace("'", "''")
    return text if is_plain else f"'{quoted}'"
