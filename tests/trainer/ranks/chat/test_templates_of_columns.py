# SPDX-License-Identifier: Apache-2.0
"""Columns of a user's data become conversations if the config requests a chat template."""

from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.inputs.chat_templates import file_of
from trainer.prepared_data import prepare

pytestmark = pytest.mark.slow  # Importing TRL takes a quarter of a minute.

ROW = {"question": "What is force?", "reasoning": "Listen.", "answer": "Mass, Morty."}
TEMPLATES = {
    "prompt_template": "{question}",
    "completion_template": "<think>{reasoning}</think> {answer}",
}
TURNS = (
    "<|im_start|>user\nWhat is force?<|im_end|>\n"
    "<|im_start|>assistant\n<think>Listen.</think> Mass, Morty.<|im_end|>\n"
)


@pytest.fixture
def chatml() -> str:
    return str(file_of("chatml"))


def test_prompt_and_completion_templates_become_turns_without_a_system_message(
    tmp_path: Path, tiny_model: Path, chatml: str
) -> None:
    prepared = prepare(tmp_path, tiny_model, [ROW], chat_template_path=chatml, **TEMPLATES)

    assert prepared.texts() == [TURNS]
    # As for any prompt with its completion, only the completion counts.
    assert prepared.trained()[0].startswith("<think>Listen.</think> Mass, Morty.<|im_end|>")
    assert prepared.notes() == {}
    assert prepared.trainer.notes == ()


def test_a_configured_system_message_precedes_them(
    tmp_path: Path, tiny_model: Path, chatml: str
) -> None:
    config = {"system_message": "Be brief.", "chat_template_path": chatml, **TEMPLATES}

    prepared = prepare(tmp_path, tiny_model, [ROW], **config)

    assert prepared.texts() == [f"<|im_start|>system\nBe brief.<|im_end|>\n{TURNS}"]


@pytest.mark.parametrize(
    ("row", "config"),
    [
        pytest.param(
            {"pair": ["What is force?", "Mass, Morty."]}, {"dataset_format": "pairs"}, id="pairs"
        ),
        pytest.param(
            ROW, {"dataset_columns": {"prompt": "question", "completion": "answer"}}, id="columns"
        ),
    ],
)
def test_other_prompts_declared_in_the_config_become_turns_too(
    row: dict[str, Any], config: dict[str, Any], tmp_path: Path, tiny_model: Path, chatml: str
) -> None:
    prepared = prepare(tmp_path, tiny_model, [row], chat_template_path=chatml, **config)

    assert prepared.texts() == [TURNS.replace("<think>Listen.</think> ", "")]


def test_without_a_requested_chat_template_they_stay_texts(
    tmp_path: Path, tiny_model: Path
) -> None:
    prepared = prepare(tmp_path, tiny_model, [ROW], **TEMPLATES)

    assert prepared.texts() == ["What is force?<think>Listen.</think> Mass, Morty.<|im_end|>"]


def test_undeclared_prompts_are_noted_as_unaffected_by_the_chat_template(
    tmp_path: Path, tiny_model: Path, chatml: str
) -> None:
    row = {"prompt": "What is force?", "completion": " Mass."}

    prepared = prepare(tmp_path, tiny_model, [row], chat_template_path=chatml)

    (note,) = prepared.trainer.notes
    assert note.message.startswith("chat_template_path has no effect")


def test_columns_that_a_format_ignores_are_named(tmp_path: Path, tiny_model: Path) -> None:
    prepared = prepare(tmp_path, tiny_model, [ROW], dataset_format="question_answer")

    assert prepared.notes() == {
        "Info NoEffect": "dataset_format: question_answer does not read the column reasoning; "
        "prompt_template and completion_template read any column"
    }
