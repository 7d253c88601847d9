# SPDX-License-Identifier: Apache-2.0
"""Keys for custom data agree: format, columns, templates."""

from typing import Any

import pytest

from support.config_verdicts import refusals


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        pytest.param(
            {"completion_template": "{answer}"},
            "completion_template: found without prompt_template: set that too, or dataset_columns, "
            "such as {prompt: question, completion: answer}",
            id="a completion of no prompt",
        ),
        pytest.param(
            {"dataset_format": "alpaca", "prompt_template": "{instruction}"},
            'dataset_format: found "alpaca" together with prompt_template, expected only one of '
            "them: both define the format of a row",
            id="a format and a template",
        ),
        pytest.param(
            {"dataset_columns": {"promt": "question"}},
            "dataset_columns.promt: not a column that is read, did you mean prompt?",
            id="a misspelt column of TRL's",
        ),
        pytest.param(
            {"dataset_columns": {"question": "prompt"}},
            "dataset_columns.question: not a column that is read, did you mean prompt: question?",
            id="the mapping the other way round",
        ),
        pytest.param(
            {"dataset_format": "alpaca", "dataset_columns": {"answer": "output"}},
            "dataset_columns.answer: not a column of dataset_format: alpaca, did you mean output: "
            "answer?",
            id="the mapping of a format the other way round",
        ),
        pytest.param(
            {"dataset_format": "question_answer", "dataset_columns": {"completion": "reply"}},
            "dataset_columns.completion: not a column of dataset_format: question_answer, expected "
            "one of question, answer, system",
            id="a column that the format does not read",
        ),
        pytest.param(
            {"dataset_columns": {"prompt": 3}},
            "dataset_columns.prompt: found 3, expected the name of a column",
            id="a number for a column",
        ),
        pytest.param(
            {"prompt_template": "{q}", "dataset_columns": {"prompt": "question"}},
            "dataset_columns.prompt: found together with prompt_template, expected only one of "
            "them: both define the prompt",
            id="a prompt twice",
        ),
    ],
)
def test_conflicting_keys_are_reported_in_one_sentence(
    config: dict[str, Any], sentence: str
) -> None:
    assert refusals(config) == [sentence]


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"dataset_format": "sharegpt"}, id="a format"),
        pytest.param(
            {
                "dataset_format": "question_answer",
                "dataset_columns": {"question": "q", "answer": "a"},
                "system_message": "Be brief.",
            },
            id="a format with its columns",
        ),
        pytest.param(
            {"dataset_columns": '{"prompt": "question", "completion": "answer"}'},
            id="columns in JSON",
        ),
        pytest.param(
            {"dataset_columns": {"body": "article"}, "dataset_text_field": "body"},
            id="the field of the text",
        ),
        pytest.param(
            {
                "prompt_template": "Q: {q}\nA: ",
                "dataset_columns": {"q": "Frage", "completion": "A"},
            },
            id="a template of renamed columns and a completion",
        ),
        pytest.param(
            {"prompt_template": "{{}} {a b}", "completion_template": "{c}"}, id="two templates"
        ),
    ],
)
def test_compatible_keys_are_accepted(config: dict[str, Any]) -> None:
    assert refusals(config) == []
