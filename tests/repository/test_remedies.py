# SPDX-License-Identifier: Apache-2.0
"""A remedy states what to write. "correct the file" only repeats that something is wrong, which the
message before it has stated.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetune_contract.reasons import Reason
from finetune_spec.config.problem import change_as_described
from finetune_trainer.failures.remedies import remedy_for

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    file
    for part in ("contract", "job-spec", "operator", "trainer-image", "command-line")
    for file in (ROOT / part / "src").rglob("*.py")
)
_EMPTY = re.compile(
    r"\b(correct|fix|repair|mend|rectify)\b|^(set a valid one|use it|check it|the ways out)$"
)
# Parsing all other sources would take seconds.
_WRITES_ONE = re.compile(r"attempt_failed\(|remedy", re.IGNORECASE)


def literal(node: ast.expr) -> str:
    """The text of an expression, with {} for each value in it."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(literal(it) if isinstance(it, ast.Constant) else "{}" for it in values)
        case ast.BinOp(left=left, right=right):
            return literal(left) + literal(right)
        case ast.IfExp(body=body, orelse=orelse):
            return f"{literal(body)} || {literal(orelse)}"
    return "{}"


def remedies_in(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The remedies that are written as such: arguments and variables of this name, and the third
    argument of `attempt_failed`.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="attempt_failed"), args=[_, _, remedy, *_]):
                yield remedy.lineno, literal(remedy)
            case ast.keyword(arg="remedy", value=remedy):
                yield remedy.lineno, literal(remedy)
            case ast.Assign(targets=[ast.Name(id=name)], value=remedy) if "remedy" in name.lower():
                yield remedy.lineno, literal(remedy)


def says_nothing(remedy: str) -> bool:
    return any(_EMPTY.search(each.strip()) for each in remedy.split(" || "))


def test_no_remedy_only_says_that_something_must_be_corrected() -> None:
    written = [
        (file.relative_to(ROOT).as_posix(), line, remedy)
        for file in SOURCES
        if _WRITES_ONE.search(text := file.read_text())
        for line, remedy in remedies_in(ast.parse(text))
    ]

    assert len(written) > 150  # The search finds them.
    assert [each for each in written if says_nothing(each[2])] == []


def test_no_reason_has_a_remedy_that_only_says_that_something_must_be_corrected() -> None:
    assert [each for each in Reason if says_nothing(each.remedy)] == []


@pytest.mark.parametrize(
    "remedy",
    [
        change_as_described(["learning_rte"]),
        remedy_for("`learning_rate` must be positive"),
        remedy_for("something else"),
    ],
)
def test_no_composed_remedy_only_says_that_something_must_be_corrected(remedy: str) -> None:
    assert not says_nothing(remedy)


@pytest.mark.parametrize(
    "remedy",
    ["correct the file", "correct {}{}", "add rows, or fix the file", "a || correct {}, or b"],
)
def test_such_remedies_are_found(remedy: str) -> None:
    assert says_nothing(remedy)


def test_remedies_in_each_form_are_found() -> None:
    code = """
attempt_failed(Reason.A, "b", f"correct {x}" if x else "c")
Refusal(what="b", remedy="correct d")
REMEDY = "correct " "e"
"""
    found = [remedy for _, remedy in remedies_in(ast.parse(code))]

    assert sorted(found) == ["correct d", "correct e", "correct {} || c"]
