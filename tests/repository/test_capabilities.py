# SPDX-License-Identifier: Apache-2.0
"""Pages that name tests as proofs: each of them must be there, by that very name."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = tuple(
    ROOT / "docs" / f"{name}.md"
    for name in ("user/training", "user/situations", "platform/threat-model")
)
NAMED = re.compile(r"(tests/[\w/]+\.py)?::(test_\w+)")


def proofs() -> list[tuple[str, str]]:
    """Every file and test that the pages name; `::test_...` alone is in the file before it."""
    found, file = [], ""
    for match in NAMED.finditer("".join(page.read_text() for page in PAGES)):
        file = match[1] or file
        found.append((file, match[2]))
    return found


@pytest.mark.parametrize(("file", "test"), sorted({*proofs()}))
def test_a_capability_is_proved_by_a_test_that_exists(file: str, test: str) -> None:
    assert f"def {test}(" in (ROOT / file).read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_row_of_the_page_names_its_proof(page: Path) -> None:
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    heads = [row for row in rows if row.rstrip(" |").endswith(("(path::name)", "test", "---"))]

    assert [row for row in rows if row not in heads and "::test_" not in row] == []
    assert re.findall(r"tests/[\w/]+/test_\w+\.py(?!::)", "".join(rows)) == []
    assert len(rows) - len(heads) > 20
