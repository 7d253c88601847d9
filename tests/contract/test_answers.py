# SPDX-License-Identifier: Apache-2.0
"""The holder of a job's token may post answers, all of which would be stored in etcd."""

from typing import Any

import pytest

from finetune_contract.answers import Answer, parse_answers
from finetune_contract.documents import InvalidDocument
from finetune_contract.limits import MAX_ANSWERS, MAX_TEXT


def test_long_answers_are_truncated_and_surplus_ones_dropped() -> None:
    long = {"prompt": "p" * 1000, "before": "b" * MAX_TEXT, "after": "a" * (MAX_TEXT + 1)}

    answers = parse_answers([long] * 100)

    assert len(answers) == MAX_ANSWERS
    assert answers[0].before == long["before"]
    assert {len(answers[0].prompt), len(answers[0].after or "")} == {MAX_TEXT}
    assert answers[0].prompt.endswith("p…")


def test_an_unknown_answer_is_omitted() -> None:
    answer = Answer(prompt="Name a colour.", before=None, after="Blue.")

    assert answer.to_document() == {"prompt": "Name a colour.", "after": "Blue."}
    assert parse_answers([answer.to_document()]) == (answer,)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("Blue.", r"answers\[0\] is 'Blue.', expected an object"),
        ({"after": "Blue."}, "prompt is missing"),
        ({"prompt": "p", "after": 1}, r"after is int \(1\), expected str"),
    ],
)
def test_an_invalid_answer_is_refused(wrong: Any, said: str) -> None:
    with pytest.raises(InvalidDocument, match=said):
        parse_answers([wrong])
