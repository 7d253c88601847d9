# SPDX-License-Identifier: Apache-2.0
"""The table of docs/user/training.md by family: the treatment of the rows of a pack.

`make generate` writes it from the measurements (`trainer.families.table`); a test compares.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path

from finetune_spec.base_model.packed_rows import TABLE, PackedRows
from repository.marked_blocks import with_blocks

PAGE = Path(__file__).parents[2] / "docs" / "user" / "training.md"
_WORDS = {
    PackedRows.APART: "kept apart",
    PackedRows.MIXED: "not kept apart; refused",
    PackedRows.REFUSED: "not computed; refused",
    PackedRows.UNMEASURED: "not measured; tried before the first step",
}


def with_tables(page: str) -> str:
    """The page with its correct table."""
    return with_blocks(page, lambda _: _table())


def _table() -> Iterator[str]:
    table = tomllib.loads(TABLE.read_text())
    packages = {each: name for name, types in table["packages"].items() for each in types}
    yield "| rows of a pack are | in models of type |"
    yield "| --- | --- |"
    for rows, words in _WORDS.items():
        yield from _row(words, (each for each in table[rows] if each not in packages))
    for name, types in table["packages"].items():
        yield from _row(f"kept apart with the package `{name}`; refused without", types)
    for rows, words in _WORDS.items():
        yield from _row(f"with `attn_implementation: eager`: {words}", table["eager"].get(rows, ()))


def _row(words: str, types: Iterator[str] | list[str]) -> Iterator[str]:
    if names := ", ".join(f"`{each}`" for each in types):
        yield f"| {words} | {names} |"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
