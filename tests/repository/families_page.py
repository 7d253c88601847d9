# SPDX-License-Identifier: Apache-2.0
"""The tables of docs/user/training.md by family: the treatment of the rows of a pack, the layers
that `num_layers_unfrozen` trains, and whether adapters are merged.

`make generate` writes them from the measurements (`trainer.families.table` and `.tuned`); a test
compares.
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from finetune_spec.base_model.packed_rows import TABLE, PackedRows
from repository.marked_blocks import with_blocks
from trainer.families.frozen_layers import Frozen
from trainer.families.merged_adapters import Merged
from trainer.families.tuned import TABLE as TUNED
from trainer.families.tuned import UNMEASURED, WHOLE

PAGE = Path(__file__).parents[2] / "docs" / "user" / "training.md"
_WORDS = {
    PackedRows.APART: "kept apart",
    PackedRows.MIXED: "not kept apart; refused",
    PackedRows.REFUSED: "not computed; refused",
    PackedRows.UNMEASURED: "not measured; tried before the first step",
}


_FROZEN = {
    Frozen.EXACT: "the last layers, complete, and the norm and the head after them",
    Frozen.WITHOUT_NORM: "the last layers, complete, and the head; a norm after them stays frozen",
    Frozen.REFUSED: "none: the key is refused, the layers cannot be distinguished from other parts",
    UNMEASURED: "not measured",
}
_MERGED = {
    Merged.SAME: "merged, in memory and tensor by tensor",
    WHOLE: "merged in memory; if the base model does not fit, a note reports that it is not merged",
    Merged.REFUSED: "refused with a message: it has no effect there, or PEFT loses part of it",
    UNMEASURED: "not measured",
}


def with_tables(page: str) -> str:
    """The page with its tables as they should be."""
    tuned = tomllib.loads(TUNED.read_text())
    tables: Mapping[str, Callable[[], Iterator[str]]] = {
        "packed-rows": _table,
        "frozen-layers": lambda: _by_kind("trained layers", _FROZEN, tuned["frozen"]),
        "merged-adapters": lambda: _by_kind("an adapter is", _MERGED, tuned["merged"]),
    }
    return with_blocks(page, lambda name: tables[name]())


def _by_kind(title: str, words: Mapping[str, str], types: Mapping[str, list[str]]) -> Iterator[str]:
    yield f"| {title} | in models of type |"
    yield "| --- | --- |"
    for kind, said in words.items():
        yield from _row(said, types[kind])


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
