# SPDX-License-Identifier: Apache-2.0
"""The rooms in docs/contributing/architecture.md: one line each, from the rooms' own docstrings.

`make generate` writes it; a test compares.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from repository.marked_blocks import with_blocks
from repository.tracked import ROOT

PAGE = ROOT / "docs" / "contributing" / "architecture.md"


def with_rooms(page: str) -> str:
    """The page with its current rooms; each block names the directory of a package."""
    return with_blocks(page, lambda folder: _lines(ROOT / folder))


def rooms_without_door() -> list[str]:
    """Rooms at the top of their package whose docstring names none."""
    tops = (room for room in _rooms() if room.parent.parent.name == "src")
    return [room.name for room in tops if not law_and_door_of(room)[1]]


def doors_that_are_not_there() -> list[str]:
    """Doors in docstrings, as `module.name`, that do not exist in their room."""
    return [
        f"{room.name}: {module}.{name}"
        for room in _rooms()
        for module, name in re.findall(r"`(\w+)\.(\w+)`", law_and_door_of(room)[1])
        if not _is_there(room, module, name)
    ]


def rooms_of(package: Path) -> Iterator[Path]:
    """Every directory of a package that has modules, the package itself first."""
    return (init.parent for init in sorted(package.rglob("__init__.py"), key=_place))


def law_and_door_of(room: Path) -> tuple[str, str]:
    """The first sentence of a room's docstring, and the sentence that names its door."""
    docstring = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
    law = re.split(r"\.\s|:\n", docstring.replace("\n", " ") + " ")[0].rstrip(":.")
    door = re.search(r"^(?:Doors?: |.*\. Doors?: )([^.]*(?:\.\w[^.]*)*)\.", docstring, re.MULTILINE)
    return law, " ".join(door[1].split()) if door else ""


def _is_there(room: Path, module: str, name: str) -> bool:
    if (room / module / f"{name}.py").exists():
        return True
    defined = re.compile(rf"^(?:async def|def|class) {name}\b|^{name}\b.* = ", re.MULTILINE)
    file = room / f"{module}.py"
    return file.exists() and defined.search(file.read_text()) is not None


def _rooms() -> Iterator[Path]:
    for package in re.findall(r"<!-- (\S+/src/\S+) -->", PAGE.read_text()):
        yield from rooms_of(ROOT / package)


def _lines(package: Path) -> Iterator[str]:
    yield "| room | rule | entry point |"
    yield "| --- | --- | --- |"
    for room in rooms_of(package):
        if room != package:
            law, door = law_and_door_of(room)
            yield f"| `{room.relative_to(package).as_posix()}/` | {law} | {door} |"


def _place(init: Path) -> tuple[str, ...]:
    return init.parent.parts


if __name__ == "__main__":
    PAGE.write_text(with_rooms(PAGE.read_text()))
