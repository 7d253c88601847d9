# SPDX-License-Identifier: Apache-2.0
"""The table of docs/user/packages.md: packages that some configs and models need, and the images
that have them.

`make generate` writes it; a test compares.
"""

from collections.abc import Iterator
from pathlib import Path

from finetune_spec.packages import BY_KEY, BY_STORAGE, BY_TOKENIZER, PACKAGES, Need
from repository.marked_blocks import with_blocks

PAGE = Path(__file__).parents[2] / "docs" / "user" / "packages.md"


def with_tables(page: str) -> str:
    """The page with its correct table."""
    return with_blocks(page, lambda _: _table())


def _table() -> Iterator[str]:
    yield from ("| package | for | in the image | needed by |", "| --- | --- | --- | --- |")
    for name, package in PACKAGES.items():
        shipped = "yes" if package.is_shipped else "no"
        needed = ", ".join(f"`{each}`" for each in _needed_by(name))
        yield f"| `{name}` | {package.purpose} | {shipped} | {needed} |"


def _needed_by(name: str) -> Iterator[str]:
    for key, values in BY_KEY.items():
        yield from (f"{key}: {value}" for value, need in values.items() if _has(need, name))
    for method, needs in BY_STORAGE.items():
        if any(_has(need, name) for need in needs):
            yield f"quant_method: {method}"
    yield from (file for file, need in BY_TOKENIZER.items() if _has(need, name))


def _has(need: Need, name: str) -> bool:
    return name in need.packages


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
