# SPDX-License-Identifier: Apache-2.0
"""docs/contributing/proofs.md: the tests that prove the claims of the pages for users.

A claim is the first cell of a row, an item of a list, or words of a sentence of a page. Its tests
are in the page's file in `proofs/`, by heading and claim. Write a new row with its tests in a last
cell: `make generate` moves them there, and writes the table. A test compares.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from repository import failure_reasons
from repository.marked_blocks import with_blocks
from repository.tracked import ROOT

TABLE = ROOT / "docs" / "contributing" / "proofs.md"
PAGES = tuple(
    ROOT / "docs" / f"{name}.md"
    for name in ("user/training", "user/situations", "platform/threat-model")
)

TITLES = ("test", "test that proves it (path::name)")
"""Titles of a column that names tests."""

Proofs = dict[str, dict[str, list[str]]]
"""Heading -> claim -> tests, each as `path::name`, possibly with a remark in parentheses."""

_NAMED = re.compile(r"`?(tests/[\w/]+\.py)?::(test_\w+)`?(?: (\((?:[^()]|\([^()]*\))*\)))?")
_CELL = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"\| --")
_HEADING = re.compile(r"#+ (.*)")


@dataclass(frozen=True, slots=True)
class Claim:
    heading: str
    words: str
    is_row: bool


def data_file(page: Path) -> Path:
    return Path(__file__).parent / "proofs" / f"{page.stem}.toml"


def proofs_of(page: Path) -> Proofs:
    file = data_file(page)
    return tomllib.loads(file.read_text()) if file.exists() else {}


def claims_in(text: str) -> Iterator[Claim]:
    """The first cell of each row of the page's tables, and each item of its lists."""
    for line in _lines(text):
        if line.cells and not line.is_title:
            yield Claim(line.heading, line.cells[0], is_row=True)
        elif line.text.startswith("- "):
            yield Claim(line.heading, line.text.removeprefix("- "), is_row=False)


def sections_of(text: str) -> Mapping[str, str]:
    """Heading -> its text, with one blank between words."""
    sections: dict[str, str] = {}
    for line in _lines(text):
        sections[line.heading] = f"{sections.get(line.heading, '')} {line.text}"
    return {heading: _plain(words) for heading, words in sections.items()}


def moved(text: str, proofs: Proofs) -> tuple[str, Proofs]:
    """The page without the cells that name tests, and the proofs with them, in its order.

    The rest of a table with one column is a list.
    """
    kept: list[str] = []
    proofs = {heading: dict(claims) for heading, claims in proofs.items()}
    was_title = becomes_list = False
    for line in _lines(text):
        *cells, last = line.cells or ("",)
        tests = _tests_in(last)
        if not cells or not (tests or (line.is_title and last in TITLES)):
            if not was_title:
                kept.append(line.text)
            was_title = False
            continue
        was_title = line.is_title
        becomes_list = len(cells) == 1
        if tests:
            claims = _without_older_words(proofs.get(line.heading, {}), tests, text)
            proofs[line.heading] = claims | {cells[0]: tests}
            kept.append(f"- {cells[0]}" if becomes_list else _row(cells))
        elif not becomes_list:
            kept += [_row(cells), _row(["---"] * len(cells))]
    text = "\n".join(kept)
    return text, _in_the_pages_order(text, proofs)


def as_toml(proofs: Proofs) -> str:
    parts = []
    for heading, claims in proofs.items():
        lines = [f"[{_quoted(heading)}]"]
        for claim, tests in claims.items():
            lines += [f"{_quoted(claim)} = [", *(f"    {_quoted(test)}," for test in tests), "]"]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def is_in(claim: str, section: str) -> bool:
    return _plain(claim) in section


def with_tables(page: str) -> str:
    """The page of proofs, with a table for each heading of each page."""
    return with_blocks(page, lambda _: _tables())


def _tables() -> Iterator[str]:
    for page in PAGES:
        yield from ("", f"## {_title(page)}", "")
        for heading, claims in proofs_of(page).items():
            yield from (f"### {heading}", "", "| claim | tests |", "| --- | --- |")
            for claim, tests in claims.items():
                yield f"| {_without_links(claim)} | {_in_words(tests)} |"
            yield ""
    yield from (f"## {_title(failure_reasons.PAGE)}", "", "| reason | test |", "| --- | --- |")
    proved = {reason: f"tests/{file}::{test}" for reason, file, test in failure_reasons.proofs()}
    for reason in sorted(proved):
        yield f"| `{reason}` | {_in_words([proved[reason]])} |"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    text: str
    heading: str
    cells: tuple[str, ...]
    """None except in the rows of a table."""
    is_title: bool


def _lines(text: str) -> Iterator[_Line]:
    """Each line with the heading above it."""
    heading = ""
    for line, following in pairwise([*text.split("\n"), ""]):
        if found := _HEADING.fullmatch(line):
            heading = found[1]
        is_row = line.startswith("| ") and not _RULE.match(line)
        cells = [cell.strip() for cell in _CELL.split(line.strip())[1:-1]] if is_row else []
        is_title = is_row and bool(_RULE.match(following))
        yield _Line(text=line, heading=heading, cells=tuple(cells), is_title=is_title)


def _in_the_pages_order(text: str, proofs: Proofs) -> Proofs:
    """Claims that the page no longer has stay, at the end: a test names them."""
    sections = sections_of(text)
    headings = list(sections)

    def place(heading: str, claim: str) -> int:
        at = sections.get(heading, "").find(_plain(claim))
        return at if at >= 0 else sys.maxsize

    return {
        heading: dict(sorted(claims.items(), key=lambda item: place(heading, item[0])))
        for heading, claims in sorted(
            proofs.items(),
            key=lambda item: headings.index(item[0]) if item[0] in headings else sys.maxsize,
        )
    }


def _without_older_words(
    claims: dict[str, list[str]], tests: list[str], text: str
) -> dict[str, list[str]]:
    """The claims without those that had these tests and are no longer in the page."""
    return {claim: proofs for claim, proofs in claims.items() if proofs != tests or claim in text}


def _plain(words: str) -> str:
    return " ".join(words.split())


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _tests_in(cell: str) -> list[str]:
    tests, file = [], ""
    for found in _NAMED.finditer(cell):
        file = found[1] or file
        tests.append(f"{file}::{found[2]}{' ' + found[3] if found[3] else ''}")
    return tests


def _in_words(tests: list[str]) -> str:
    words, last = [], ""
    for each in tests:
        file, _, test = each.partition("::")
        name, _, remark = test.partition(" ")
        words.append(
            f"{'' if file == last else f'`{file}` '}`{name}`{' ' + remark if remark else ''}"
        )
        last = file
    return ", ".join(words)


def _title(page: Path) -> str:
    title = page.read_text().partition("\n")[0].removeprefix("# ")
    return f"[{title}](../{page.relative_to(ROOT / 'docs').as_posix()})"


def _without_links(claim: str) -> str:
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", claim)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


if __name__ == "__main__":
    for page in PAGES:
        text, proofs = moved(page.read_text(), proofs_of(page))
        page.write_text(text)
        data_file(page).write_text(as_toml(proofs))
    TABLE.write_text(with_tables(TABLE.read_text()))
