# SPDX-License-Identifier: Apache-2.0
"""The tokens that count for the loss."""

from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.inputs.chat_templates import file_of
from trainer.in_process import train
from trainer.prepared_data import data_of, prepare, said

pytestmark = pytest.mark.slow  # Importing TRL takes a quarter of a minute.

PAIR = {"prompt": "Where are you?", "completion": " On the red lightship."}
TALK = said("Hello?", "Ahoy.", "Soup?", "Lentil.")


def test_only_the_completion_of_a_prompt_is_trained(tmp_path: Path, tiny_model: Path) -> None:
    prepared = prepare(tmp_path, tiny_model, [PAIR])

    assert prepared.trained() == [" On the red lightship.<|im_end|>"]


def test_prompts_are_trained_too_without_completion_only_loss(
    tmp_path: Path, tiny_model: Path
) -> None:
    prepared = prepare(tmp_path, tiny_model, [PAIR], completion_only_loss=False)

    assert prepared.trained() == prepared.texts()


def test_a_conversation_is_trained_completely_by_default(tmp_path: Path, tiny_model: Path) -> None:
    prepared = prepare(tmp_path, tiny_model, [TALK])

    assert prepared.trained() == prepared.texts()
    assert "Soup?" in prepared.trained()[0]


@pytest.mark.parametrize(
    ("template", "answers"),
    [
        pytest.param("chatml", "Ahoy.<|im_end|>Lentil.<|im_end|>", id="marks of its own"),
        # TRL's marking of this template includes the line break.
        pytest.param("qwen2_5", "\nAhoy.<|im_end|>\n\nLentil.<|im_end|>\n", id="patched by TRL"),
    ],
)
def test_with_assistant_only_loss_only_answers_and_their_ends_are_trained(
    tmp_path: Path, tiny_model: Path, template: str, answers: str
) -> None:
    prepared = prepare(
        tmp_path,
        tiny_model,
        [TALK],
        assistant_only_loss=True,
        chat_template_path=str(file_of(template)),
    )

    assert prepared.trained() == [answers]
    assert "<|im_start|>user" in prepared.texts()[0]


def test_the_end_of_an_answer_is_trained_even_if_its_token_is_the_pad_token(
    tmp_path: Path, tiny_model: Path
) -> None:
    prepared = prepare(tmp_path, tiny_model, [PAIR, {"prompt": "Hi", "completion": " Ho."}])

    tokenizer = prepared.trainer.processing_class
    batch = prepared.batch()
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    ends = (batch["labels"] == tokenizer.eos_token_id).sum(dim=1)
    assert ends.tolist() == [1, 1]
    assert (batch["labels"][batch["attention_mask"] == 0] == -100).all()


def test_a_template_that_does_not_mark_answers_is_refused_before_training(
    tmp_path: Path, tiny_model: Path
) -> None:
    trained = train(tmp_path, tiny_model, data_of(tmp_path, [TALK]), assistant_only_loss=True)

    assert "AssistantTokensUnknown: assistant_only_loss is set" in trained.words()
    assert "{% generation %}" in trained.words()
    assert "chat_template_path" in trained.words()
    assert "prompt and completion" in trained.words()


def test_conversations_without_an_assistant_turn_are_omitted_and_counted(
    tmp_path: Path, tiny_model: Path
) -> None:
    prepared = prepare(
        tmp_path,
        tiny_model,
        [TALK, said("Anybody there?")],
        assistant_only_loss=True,
        chat_template_path=str(file_of("chatml")),
    )

    assert prepared.trainer.accounts["train"].rows == 2
    assert prepared.trainer.accounts["train"].dropped == {"every label masked": 1}
    assert len(prepared.tokens()) == 1


@pytest.mark.parametrize(
    ("rows", "config", "words"),
    [
        pytest.param(
            [said("Anybody there?"), said("Hello?")],
            {"assistant_only_loss": True, "chat_template_path": str(file_of("chatml"))},
            "no conversation has a turn of the role assistant",
            id="the assistant is silent",
        ),
        pytest.param(
            [PAIR, PAIR],
            {"max_length": 3},
            "2 rows whose prompt fills max_length (3; the longest row has 11 tokens)",
            id="prompts fill max_length",
        ),
        pytest.param(
            [{"input_ids": [5, 6, 7], "labels": [-100, -100, -100]}],
            {},
            "1 row whose every label is masked",
            id="labels of its own, all masked",
        ),
        pytest.param(
            [{"input_ids": [5, 6, 7], "labels": [-100, -100, -100]}],
            {"dataset_kwargs": {"skip_prepare_dataset": True}},
            "every label is -100",
            id="data that TRL leaves as they are",
        ),
    ],
)
def test_a_run_that_would_learn_nothing_fails_before_its_first_step_with_the_cause(
    tmp_path: Path, tiny_model: Path, rows: list[Any], config: dict[str, Any], words: str
) -> None:
    trained = train(tmp_path, tiny_model, data_of(tmp_path, rows), **config)

    assert trained.words().startswith("NothingTrained: ")
    assert words in trained.words()
    assert trained.outcome.step == 0


def test_empty_generation_marks_are_reported_without_a_traceback(
    tmp_path: Path, tiny_model: Path
) -> None:
    text = "{% for turn in messages %}{{ turn.content }}<|im_end|>{% endfor %}"
    (tmp_path / "empty.jinja").write_text(text + "{% generation %}{% endgeneration %}")

    with pytest.raises(AttemptFailed, match="no assistant text between"):
        prepare(
            tmp_path,
            tiny_model,
            [TALK],
            assistant_only_loss=True,
            chat_template_path=str(tmp_path / "empty.jinja"),
        )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param(
            {"per_device_train_batch_size": 4},
            "the train data has 3 rows, fewer than one batch (4)",
            id="to train on",
        ),
        pytest.param(
            {
                "per_device_train_batch_size": 1,
                "per_device_eval_batch_size": 2,
                "eval_strategy": "steps",
                "test_split_size": 1,
            },
            "the eval data has 1 rows, fewer than one batch (2)",
            id="to evaluate on",
        ),
        pytest.param(
            {"per_device_train_batch_size": 2, "packing": True, "max_length": 256},
            "the train data has 1 packs, fewer than one batch (2)",
            id="packs",
        ),
    ],
)
def test_rows_that_would_all_be_dropped_as_an_incomplete_batch_end_the_run_at_once(
    config: dict[str, Any], message: str, tmp_path: Path, tiny_model: Path
) -> None:
    data = data_of(tmp_path, [TALK] * 3)

    trained = train(tmp_path, tiny_model, data, dataloader_drop_last=True, **config)

    assert trained.words().startswith("NothingTrained: dataloader_drop_last is set")
    assert message in trained.words()
    assert trained.outcome.step == 0
