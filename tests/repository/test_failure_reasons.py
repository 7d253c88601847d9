# SPDX-License-Identifier: Apache-2.0
"""The table has the reasons in the code; each is documented and provoked by a test."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetune_contract.reasons import Reason
from repository.crd_config import CRD
from repository.failure_reasons import PAGE, proofs, with_parties, with_table
from repository.tracked import ROOT

SOURCES = (
    ROOT / "command-line" / "src" / "finetune_cli",
    ROOT / "trainer-image" / "src" / "finetune_trainer",
    ROOT / "operator" / "src" / "finetune_operator",
)
CONTRACT = ROOT / "contract" / "src" / "finetune_contract"
PASCAL_CASE = re.compile(r"([A-Z][a-z]+)+")
READERS = {"attempts.py", "outcome.py"}
"""They rebuild a failure from a document, possibly of an older release."""


def calls() -> Iterator[tuple[Path, ast.Call, str]]:
    """Every call in our sources, with the name of the called function."""
    for folder in (*SOURCES, CONTRACT):
        for file in sorted(folder.rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call):
                    yield file, node, getattr(node.func, "attr", getattr(node.func, "id", ""))


def members_in_code() -> set[str]:
    """Every `Reason.MEMBER` of command line, trainer and operator."""
    return {
        node.attr
        for folder in SOURCES
        for file in folder.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "Reason"
    }


def test_the_table_has_exactly_the_reasons_of_the_code() -> None:
    assert members_in_code() == set(Reason.__members__)


def test_trainer_and_operator_use_only_reasons_of_the_table() -> None:
    """This includes the trainer, which mypy does not check."""
    made = {file.name for file, _, name in calls() if name == "Failure"}
    words = [
        f"{file.relative_to(ROOT)}:{call.lineno}"
        for file, call, name in calls()
        if name in ("attempt_failed", "failure")
        and isinstance(first := call.args[0], ast.Constant)
        and PASCAL_CASE.fullmatch(str(first.value))
    ]

    assert made <= {"reasons.py", *READERS}
    assert words == []


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_names_who_is_responsible_and_what_to_do(reason: Reason) -> None:
    assert PASCAL_CASE.fullmatch(reason.value)
    assert reason.value.upper() == reason.name.replace("_", "")
    assert reason.categories
    assert reason.words
    assert reason.remedy
    for category in reason.categories:
        failure = reason.failure("message", "remedy", category=category, rank=1)
        assert (failure.category, failure.reason, failure.rank) == (category, reason.value, 1)


@pytest.mark.parametrize("reason", [it for it in Reason if len(it.categories) == 1])
def test_the_responsible_party_follows_from_the_reason(reason: Reason) -> None:
    assert (reason.failure("message").category,) == reason.categories


def test_a_reason_with_several_categories_requires_one_to_be_named() -> None:
    with pytest.raises(ValueError, match="unpack"):
        Reason.POD_FAILED.failure("message")


def test_every_reason_has_one_proof() -> None:
    proved = [reason for reason, _, _ in proofs()]

    assert sorted(proved) == sorted(Reason)


def test_every_reason_has_a_test_that_provokes_it() -> None:
    files = {file for _, file, _ in proofs()}
    sources = {file: (ROOT / "tests" / file).read_text() for file in files}

    missing = [
        f"{reason}: {file}::{test}"
        for reason, file, test in proofs()
        if f"\ndef {test}(" not in sources[file]
    ]
    assert missing == []


def test_the_page_and_the_crd_match_the_generated_text() -> None:
    page, crd = PAGE.read_text(), CRD.read_text()

    assert page == with_table(page)
    assert page.count("\n| `") == len(Reason)
    assert crd == with_parties(crd)
    assert with_parties(crd.replace("User, Interruption", "Nobody")) == crd
