# SPDX-License-Identifier: Apache-2.0
"""The table of docs/platform/object-stores.md: the meaning of each error code of a store.

`make generate` writes it; a test compares.
"""

from collections.abc import Iterator

from finetune_trainer.storage.refusals import TABLE, UNKNOWN, Refusal
from repository.marked_blocks import with_blocks
from repository.tracked import ROOT

PAGE = ROOT / "docs" / "platform" / "object-stores.md"


def with_refusals(page: str) -> str:
    """The page with a row for each meaning."""
    return with_blocks(page, lambda _: _table())


def _table() -> Iterator[str]:
    yield "| reason | category | error codes of the store | remedy |"
    yield "| --- | --- | --- | --- |"
    for row in (*TABLE, UNKNOWN):
        codes = ", ".join(f"`{code}`" for code in sorted(row.codes, key=_place))
        cells = (f"`{row.reason}`", _party(row), codes or "any other of the 4xx", row.remedy)
        yield f"| {' | '.join(cells)} |"


def _place(code: str) -> tuple[str, str]:
    return code.lower(), code


def _party(row: Refusal) -> str:
    return row.category or row.reason.categories[0]


if __name__ == "__main__":
    PAGE.write_text(with_refusals(PAGE.read_text()))
