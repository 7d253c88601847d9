# SPDX-License-Identifier: Apache-2.0
"""Held-out rows without an answer: prompted in the format that the config gives to all others."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Rows = Sequence[Mapping[str, Any]]
TURNS = [{"role": "user", "content": "Where is boat 1?"}]


def asked(rows: Rows, count: int = 3, **data: Any) -> list[Any]:
    from datasets import Dataset

    from finetune_trainer.ranks.arguments.data import DataArguments
    from finetune_trainer.ranks.data.questions import questions_in
    from finetune_trainer.ranks.data.shaping import Shaping

    shaping = Shaping(data=DataArguments(**data), text_field="text")
    return list(questions_in(Dataset.from_list(list(rows)), shaping, count))


@pytest.mark.parametrize(
    ("rows", "data", "questions"),
    [
        pytest.param([{"prompt": "a"}, {"prompt": "b"}], {}, ["a", "b"], id="texts"),
        pytest.param([{"prompt": TURNS}], {}, [TURNS], id="turns"),
        pytest.param(
            [{"prompt": "a", "completion": "x"}, {"prompt": "b", "completion": None}],
            {},
            ["b"],
            id="some without an answer",
        ),
        pytest.param([{"prompt": "a", "completion": " "}], {}, ["a"], id="an empty answer"),
        pytest.param(
            [{"question": "a"}],
            {"dataset_columns": {"prompt": "question", "completion": "answer"}},
            ["a"],
            id="columns that are called otherwise",
        ),
        pytest.param(
            [{"question": "a"}],
            {"prompt_template": "Q: {question}", "completion_template": "{answer}"},
            ["Q: a"],
            id="by templates",
        ),
        pytest.param(
            [{"instruction": "Add.", "input": "1 2", "output": ""}],
            {"dataset_format": "alpaca"},
            [[{"role": "user", "content": "Add.\n\n1 2"}]],
            id="alpaca",
        ),
        pytest.param(
            [{"question": "a", "system": "Be short."}],
            {"dataset_format": "question_answer"},
            [[{"role": "system", "content": "Be short."}, {"role": "user", "content": "a"}]],
            id="questions with a system message",
        ),
        pytest.param([{"text": "a"}], {}, [], id="texts to learn ask nothing"),
        pytest.param([{"prompt": ""}, {"prompt": "b"}], {}, ["b"], id="an empty question"),
    ],
)
def test_questions_without_an_answer_are_found(rows: Rows, data: Any, questions: list[Any]) -> None:
    assert asked(rows, **data) == questions


def test_only_the_requested_number_of_questions_is_read() -> None:
    rows = [{"prompt": str(n)} for n in range(9)]

    assert asked(rows, count=2) == ["0", "1"]
    assert asked(rows, count=0) == []


def test_a_split_with_an_answer_column_does_not_consist_of_questions_only() -> None:
    from datasets import Dataset

    from finetune_trainer.ranks.arguments.data import DataArguments
    from finetune_trainer.ranks.data.questions import only_asks
    from finetune_trainer.ranks.data.shaping import Shaping

    shaping = Shaping(data=DataArguments(), text_field="text")

    assert only_asks(Dataset.from_list([{"prompt": "a"}]), shaping)
    assert not only_asks(Dataset.from_list([{"prompt": "a", "completion": None}]), shaping)
