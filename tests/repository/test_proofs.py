# SPDX-License-Identifier: Apache-2.0
"""The claims of the pages for users are proved: each claim has tests, and each test exists."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from repository import failure_reasons
from repository.proofs import (
    PAGES,
    TABLE,
    Claim,
    Proofs,
    as_toml,
    claims_in,
    data_file,
    is_in,
    moved,
    proofs_of,
    sections_of,
    with_tables,
)
from repository.tracked import ROOT

NAMED = re.compile(r"(tests/[\w/]+\.py)::(test_\w+)( \(.*\))?")
TESTS = {
    test
    for page in PAGES
    for claims in proofs_of(page).values()
    for tests in claims.values()
    for test in tests
}


def unproved(text: str, proofs: Proofs) -> list[Claim]:
    """Rows without a test, and items without one in a list of which another item has one."""
    claims = list(claims_in(text))
    lists = {
        claim.heading
        for claim in claims
        if not claim.is_row and claim.words in proofs.get(claim.heading, {})
    }
    return [
        claim
        for claim in claims
        if (claim.is_row or claim.heading in lists)
        and not proofs.get(claim.heading, {}).get(claim.words)
    ]


def exists(test: str, sources: Mapping[str, str]) -> bool:
    """Whether a test is named as path::name, or path::name (remark), and is defined there."""
    named = NAMED.fullmatch(test)
    return named is not None and f"def {named[2]}(" in sources[named[1]]


def test_every_claim_is_proved_by_tests_that_exist() -> None:
    files = {test.partition("::")[0] for test in TESTS}
    sources = {file: (ROOT / file).read_text() for file in files if (ROOT / file).is_file()}

    assert files == sources.keys()
    assert [test for test in sorted(TESTS) if not exists(test, sources)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_claim_of_the_page_has_a_proof(page: Path) -> None:
    text, proofs = page.read_text(), proofs_of(page)

    assert unproved(text, proofs) == [], f"add their tests to {data_file(page)}"
    assert sum(map(len, proofs.values())) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_proof_has_its_claim_on_the_page(page: Path) -> None:
    sections = sections_of(page.read_text())
    gone = [
        f"{heading}: {claim}"
        for heading, claims in proofs_of(page).items()
        for claim in claims
        if not is_in(claim, sections.get(heading, ""))
    ]

    assert gone == [], f"the page has other words: change {data_file(page)}"


@pytest.mark.parametrize("page", [*PAGES, failure_reasons.PAGE], ids=lambda page: page.stem)
def test_a_user_page_names_no_tests(page: Path) -> None:
    assert re.findall(r"tests/\w+|::test_\w+", page.read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_proof_data_are_formatted_as_make_generate_writes_them(page: Path) -> None:
    text = page.read_text()

    assert moved(text, proofs_of(page)) == (text, proofs_of(page)), "run make generate"
    assert as_toml(proofs_of(page)) == data_file(page).read_text(), "run make generate"


def test_the_proofs_page_matches_what_make_generate_writes() -> None:
    page = TABLE.read_text()

    assert page == with_tables(page), "run make generate"
    assert page.count("\n| `") > len(list(failure_reasons.proofs()))


PAGE = """\
# Page

## Tables

| capability | how | test |
| --- | --- | --- |
| it runs | `a: b` | `tests/a.py::test_a`, `::test_b` (with c, d) |
| it | stays | |
"""


def test_the_tests_of_a_new_row_are_moved_to_the_data() -> None:
    text, proofs = moved(PAGE, {"Tables": {"older": ["tests/o.py::test_o"]}})

    assert text.splitlines()[4:7] == [
        "| capability | how |",
        "| --- | --- |",
        "| it runs | `a: b` |",
    ]
    assert proofs["Tables"] == {
        "it runs": ["tests/a.py::test_a", "tests/a.py::test_b (with c, d)"],
        "older": ["tests/o.py::test_o"],
    }


def test_a_row_with_tests_below_a_title_without_them_is_moved_too() -> None:
    text = "## A\n\n| claim | how |\n| --- | --- |\n| b | c |\n| d | e | tests/f.py::test_f |\n"

    assert moved(text, {}) == (
        text.replace(" tests/f.py::test_f |", ""),
        {"A": {"d": ["tests/f.py::test_f"]}},
    )


def test_a_row_with_its_tests_replaces_its_older_wording() -> None:
    text = "## A\n\n| claim | how | test |\n| --- | --- | --- |\n| new | c | tests/f.py::test_f |\n"
    others = {"other": ["tests/o.py::test_o"]}

    _, proofs = moved(text, {"A": {"old": ["tests/f.py::test_f"], **others}})

    assert proofs == {"A": {"new": ["tests/f.py::test_f"], **others}}


def test_a_table_of_claims_without_its_tests_becomes_a_list() -> None:
    text = "## A\n\n| claim | test |\n| --- | --- |\n| b | `tests/f.py::test_f` |\n\nwords\n"

    assert moved(text, {}) == ("## A\n\n- b\n\nwords\n", {"A": {"b": ["tests/f.py::test_f"]}})


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("## A\n\n| claim |\n| --- |\n| proved |\n", []),
        ("## A\n\n| claim |\n| --- |\n| proved |\n| another |\n", ["another"]),
        ("## B\n\n| claim |\n| --- |\n| proved |\n", ["proved"]),
        ("## A\n\n- proved\n- another\n", ["another"]),
        ("## A\n\n- no claim, as no item of this list\n", []),
    ],
)
def test_a_claim_without_a_test_is_found(text: str, missing: list[str]) -> None:
    proofs = {"A": {"proved": ["tests/f.py::test_f"]}}

    assert [claim.words for claim in unproved(text, proofs)] == missing


def test_data_with_quotes_and_backslashes_are_read_as_written() -> None:
    proofs = {'A "b"': {'c\\d `"`': ["tests/f.py::test_f"]}}

    assert tomllib.loads(as_toml(proofs)) == proofs
