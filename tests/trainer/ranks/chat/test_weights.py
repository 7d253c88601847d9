# SPDX-License-Identifier: Apache-2.0
"""The model reads a turn with `weight: 0` but is not trained on it, as in OpenAI's files."""

from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.inputs.chat_templates import file_of
from trainer.prepared_data import prepare, said
from trainer.tiny_models import with_template

pytestmark = pytest.mark.slow  # Importing TRL takes a quarter of a minute.

TALK = said("Hi", "WRONG", "No.", "Right.")
CALL = {"type": "function", "function": {"name": "shout", "arguments": {"what": "WRONG"}}}


def weighed(*weights: Any) -> dict[str, Any]:
    """A conversation of four turns; None for a turn without a weight."""
    turns = [
        turn if weight is None else {**turn, "weight": weight}
        for turn, weight in zip(TALK["messages"], weights, strict=True)
    ]
    return {"messages": turns}


ROW = weighed(None, 0, None, 1)


@pytest.mark.parametrize(
    ("template", "config"),
    [
        pytest.param("qwen2_5", {}, id="every turn counts"),
        pytest.param("qwen2_5", {"assistant_only_loss": True}, id="only answers count"),
        pytest.param("gemma", {}, id="a template that trims the content"),
        pytest.param("llama3", {}, id="the template of Llama 3"),
        pytest.param("qwen2_5", {"packing": True, "max_length": 128}, id="packed"),
        pytest.param("qwen2_5", {"dataset_streaming": True, "max_steps": 1}, id="a stream"),
    ],
)
def test_an_answer_with_weight_0_is_in_the_text_and_not_trained(
    template: str, config: dict[str, Any], tmp_path: Path, tiny_model: Path
) -> None:
    model = with_template(tiny_model, tmp_path / "model", template)

    prepared = prepare(tmp_path, model, [ROW], **config)

    (text,), (trained,) = prepared.texts(), prepared.trained()
    assert "WRONG" in text
    assert "WRONG" not in trained
    assert "Right.<|im_end|>" in trained
    # The end of the turn is left out too; of the rest only answers may count.
    counted = 1 if "assistant_only_loss" in config else text.count("<|im_end|>") - 1
    assert trained.count("<|im_end|>") == counted
    assert prepared.trainer.notes == ()


@pytest.mark.parametrize("weight", [0, 0.0, False, "0", "0.0"])
def test_a_weight_of_zero_is_accepted_in_every_common_spelling(
    weight: Any, tmp_path: Path, tiny_model: Path
) -> None:
    (trained,) = prepare(tmp_path, tiny_model, [weighed(None, weight, None, None)]).trained()

    assert "WRONG" not in trained
    assert "Right." in trained


@pytest.mark.parametrize("weights", [(None, 1, None, 1), (1, 1, 1, 1), (None, "1", None, 1.0)])
def test_without_a_weight_of_0_training_is_the_same_as_without_weights(
    weights: tuple[Any, ...], tmp_path: Path, tiny_model: Path
) -> None:
    prepared = prepare(tmp_path, tiny_model, [weighed(*weights)])

    assert prepared.trained() == prepared.texts()


def test_each_turn_follows_its_own_weight(tmp_path: Path, tiny_model: Path) -> None:
    rows = [weighed(None, 0, None, 1), weighed(None, 1, None, 0), TALK, weighed(0, 1, None, 1)]

    trained = prepare(tmp_path, tiny_model, rows).trained()

    assert ["WRONG" in text for text in trained] == [False, True, True, True]
    assert ["Right." in text for text in trained] == [True, False, True, True]
    assert ["\nHi<" in text for text in trained] == [True, True, True, False]


def test_tool_calls_of_a_turn_with_weight_0_are_not_trained(
    tmp_path: Path, tiny_model: Path
) -> None:
    model = with_template(tiny_model, tmp_path / "model", "qwen2_5")
    user, _, _, answer = TALK["messages"]
    call = {"role": "assistant", "content": "", "tool_calls": [CALL], "weight": 0}
    row = {"messages": [user, call, {"role": "tool", "content": "Ow."}, answer]}

    prepared = prepare(tmp_path, model, [row])

    assert "WRONG" in prepared.texts()[0]
    assert "WRONG" not in prepared.trained()[0]
    assert "shout" not in prepared.trained()[0]
    assert "Right." in prepared.trained()[0]


def test_a_completion_can_have_weights_too(tmp_path: Path, tiny_model: Path) -> None:
    turns = ROW["messages"]

    prepared = prepare(tmp_path, tiny_model, [{"prompt": turns[:1], "completion": turns[1:]}])

    assert "WRONG" not in prepared.trained()[0]
    assert "Right.<|im_end|>" in prepared.trained()[0]


def test_sharegpt_turns_can_have_weights_too(tmp_path: Path, tiny_model: Path) -> None:
    row = {
        "conversations": [
            {"from": "human", "value": "Hi"},
            {"from": "gpt", "value": "WRONG", "weight": 0},
            {"from": "human", "value": "No."},
            {"from": "gpt", "value": "Right."},
        ]
    }

    (trained,) = prepare(tmp_path, tiny_model, [row], dataset_format="sharegpt").trained()

    assert "WRONG" not in trained
    assert "Right." in trained


@pytest.mark.parametrize("weight", [0.5, 2, -1, "heavy"])
def test_a_row_with_an_invalid_weight_is_omitted_and_named(
    weight: Any, tmp_path: Path, tiny_model: Path
) -> None:
    prepared = prepare(tmp_path, tiny_model, [TALK, TALK, weighed(None, weight, None, None)])

    (reason,) = prepared.loaded.dropped["train"]
    assert reason == f"the weight {weight!r} of a turn, expected 0 or 1, as in row 3"
    assert len(prepared.texts()) == 2


def test_data_in_which_every_answer_has_weight_0_are_refused(
    tmp_path: Path, tiny_model: Path
) -> None:
    with pytest.raises(AttemptFailed) as caught:
        prepare(
            tmp_path,
            tiny_model,
            [weighed(None, 0, None, 0)],
            assistant_only_loss=True,
            chat_template_path=str(file_of("chatml")),
        )

    assert caught.value.failure.reason == "NothingTrained"


def test_a_turn_that_cannot_be_located_is_not_trained_silently(
    tmp_path: Path, tiny_model: Path
) -> None:
    template = tmp_path / "echo.jinja"
    template.write_text(
        "{% for turn in messages %}{{ turn.role }}:{{ turn.content }} ({{ turn.content }})"
        "<|im_end|>{% endfor %}"
    )

    prepared = prepare(tmp_path, tiny_model, [TALK, ROW], chat_template_path=str(template))

    (reason,) = prepared.loaded.dropped["train"]
    assert reason.startswith("a turn of weight 0, whose words cannot be distinguished from others")
    assert len(prepared.texts()) == 1
