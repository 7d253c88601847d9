# SPDX-License-Identifier: Apache-2.0
"""Which columns each `dataset_format` reads, and what a template names. No I/O here.

What the trainer shapes rows by is what the checks know: neither has a list of its own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter

DATA_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".txt", ".arrow")
"""Kinds of files that the trainer reads; JSON lines, CSV and text also compressed."""

COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")

TRL_COLUMNS = ("messages", "prompt", "completion", "text", "tools", "image", "images")
"""What `dataset_columns` may give where no `dataset_format` is set: TRL's own columns."""

KEPT_COLUMNS = ("tools", "image", "images", "chat_template_kwargs")
"""What TRL reads beside a conversation or a prompt; every shape keeps them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """The columns that a `dataset_format` reads."""

    needed: tuple[str, ...]
    also: tuple[str, ...] = ()
    """Read where the data has them."""

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.needed, *self.also)


FORMATS: Mapping[str, Format] = {
    "alpaca": Format(needed=("instruction", "output"), also=("input", "system", "history")),
    "sharegpt": Format(needed=("conversations",), also=("system",)),
    "question_answer": Format(needed=("question", "answer"), also=("system",)),
    "pairs": Format(needed=("pair",)),
}


_COLUMN = re.compile(r"[^{}\[\]!:]+")


def columns_of_template(template: str) -> tuple[str, ...]:
    """The columns that a template names in braces, each once.

    Raises:
        ValueError: in the words that its user reads, if it is no such template.
    """
    literal = "write {{ and }} for braces that are meant as such"
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        raise ValueError(f"a template whose braces do not match: {literal}") from None
    names = []
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if not name.strip():
            raise ValueError(
                f"empty braces, expected the name of a column in them, such as {{question}}: "
                f"{literal}"
            )
        if form or conversion or not _COLUMN.fullmatch(name):
            raise ValueError(f"{{{name}...}}, expected only the name of a column there: {literal}")
        names.append(name)
    return tuple(dict.fromkeys(names))


def fill_template(template: str, values: Mapping[str, str]) -> str:
    """The template with the values of its columns; for one that `columns_of_template` reads."""
    filled = []
    for text, name, _, _ in Formatter().parse(template):
        filled.append(text)
        if name is not None:
            filled.append(values[name])
    return "".join(filled)


def suffix_of(name: str) -> str | None:
    """The suffix by which the trainer reads a data file, such as `.jsonl`; None for none."""
    low = name.lower()
    for compression in COMPRESSIONS:
        low = low.removesuffix(compression)
    return next((suffix for suffix in DATA_SUFFIXES if low.endswith(suffix)), None)
