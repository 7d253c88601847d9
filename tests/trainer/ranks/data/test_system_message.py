# SPDX-License-Identifier: Apache-2.0
"""A system message is added to the conversations that have none, and to nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_contract.outcome import Category
from finetune_trainer.failures.errors import AttemptFailed
from trainer.prepared_data import prepare
from trainer.runs import a_folder
from trainer.tiny_models import with_template

pytestmark = pytest.mark.slow  # importing datasets and torch

MESSAGE = "You answer for the balloon club."
USER = {"role": "user", "content": "When?"}
ANSWER = {"role": "assistant", "content": "At 7."}
SYSTEM = {"role": "system", "content": MESSAGE}
OWN = {"role": "system", "content": "Another one."}


def shaped(*rows: dict[str, Any], split: str = "train") -> list[dict[str, Any]]:
    from datasets import Dataset, DatasetDict

    from finetune_trainer.ranks.data.system_message import add_system_message

    dataset = DatasetDict({split: Dataset.from_list(list(rows))})
    changed = add_system_message(dataset, MESSAGE, ("train", "test"))
    assert changed[split].features == dataset[split].features
    result: list[dict[str, Any]] = changed[split].to_list()
    return result


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param(
            {"messages": [USER, ANSWER]}, {"messages": [SYSTEM, USER, ANSWER]}, id="a conversation"
        ),
        pytest.param(
            {"messages": [OWN, USER, ANSWER]},
            {"messages": [OWN, USER, ANSWER]},
            id="one that has a system message",
        ),
        pytest.param(
            {"prompt": [USER], "completion": [ANSWER]},
            {"prompt": [SYSTEM, USER], "completion": [ANSWER]},
            id="a conversational prompt",
        ),
        pytest.param(
            {"conversations": [{"from": "human", "value": "When?"}]},
            {
                "conversations": [
                    {"from": "system", "value": MESSAGE},
                    {"from": "human", "value": "When?"},
                ]
            },
            id="ShareGPT",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "When?"}]}]},
            {
                "messages": [
                    {"role": "system", "content": [{"type": "text", "text": MESSAGE}]},
                    {"role": "user", "content": [{"type": "text", "text": "When?"}]},
                ]
            },
            id="content in blocks",
        ),
    ],
)
def test_a_conversation_starts_with_the_system_message(
    row: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert shaped(row) == [expected]


def test_each_row_is_handled_separately() -> None:
    rows = shaped({"messages": [USER, ANSWER]}, {"messages": [OWN, USER]}, {"messages": [USER]})

    assert [row["messages"][0] for row in rows] == [SYSTEM, OWN, SYSTEM]


def test_the_held_out_split_gets_the_system_message_too() -> None:
    assert shaped({"messages": [USER]}, split="test") == [{"messages": [SYSTEM, USER]}]


def test_other_columns_and_tool_calls_are_unchanged() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "clock"}]}

    (row,) = shaped({"messages": [USER, call], "tools": "[]"})

    assert row["tools"] == "[]"
    assert row["messages"] == [
        SYSTEM | {"tool_calls": None},
        USER | {"tool_calls": None},
        call,
    ]


def test_a_stream_gets_the_system_message_row_by_row() -> None:
    from datasets import Dataset, IterableDatasetDict

    from finetune_trainer.ranks.data.system_message import add_system_message

    stream = Dataset.from_list([{"messages": [USER, ANSWER]}]).to_iterable_dataset()
    changed = add_system_message(IterableDatasetDict({"train": stream}), MESSAGE, ("train",))

    assert list(changed["train"]) == [{"messages": [SYSTEM, USER, ANSWER]}]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"text": "At 7."}, id="text"),
        pytest.param({"prompt": "When?", "completion": "At 7."}, id="a prompt that is a string"),
        pytest.param({"input_ids": [1, 2]}, id="tokens"),
    ],
)
def test_data_without_conversations_are_a_user_error(row: dict[str, Any]) -> None:
    with pytest.raises(AttemptFailed) as caught:
        shaped(row)

    failure = caught.value.failure
    assert (failure.category, failure.reason) == (Category.USER, "NotConversational")
    assert f"the columns {', '.join(row)}" in failure.message
    assert "leave system_message out" in failure.remedy


def test_the_system_message_is_set_in_the_config(tmp_path: Path) -> None:
    from finetune_trainer.ranks.arguments import read_arguments
    from finetune_trainer.ranks.data import prepare_data

    row = json.dumps({"messages": [USER, ANSWER]}).encode()
    config = {
        "model_name_or_path": "unused",
        "dataset_name": str(a_folder(tmp_path / "data", {"train.jsonl": row})),
        "system_message": MESSAGE,
        "output_dir": str(tmp_path / "out"),
        "use_cpu": True,
        "bf16": False,
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))

    loaded = prepare_data(read_arguments(tmp_path / "config.yaml"))

    assert loaded.dataset["train"][0] == {"messages": [SYSTEM, USER, ANSWER]}


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        pytest.param(
            [OWN, USER, ANSWER],
            [{"role": "user", "content": "Another one.\n\nWhen?"}, ANSWER],
            id="a system message",
        ),
        pytest.param(
            [OWN, {"role": "developer", "content": "Two."}, USER],
            [{"role": "user", "content": "Another one.\n\nTwo.\n\nWhen?"}],
            id="two at the head",
        ),
        pytest.param([USER, ANSWER], [USER, ANSWER], id="none"),
        pytest.param(
            [OWN, ANSWER, USER],
            [ANSWER, {"role": "user", "content": "Another one.\n\nWhen?"}],
            id="an assistant that speaks first",
        ),
        pytest.param(
            [OWN, ANSWER],
            [{"role": "user", "content": "Another one."}, ANSWER],
            id="no user at all",
        ),
        pytest.param(
            [{"role": "system", "content": ""}, USER], [USER], id="an empty system message"
        ),
        pytest.param(
            [{"from": "system", "value": "Brief."}, {"from": "human", "value": "When?"}],
            [{"from": "human", "value": "Brief.\n\nWhen?"}],
            id="ShareGPT",
        ),
        pytest.param(
            [OWN, {"role": "user", "content": [{"type": "text", "text": "When?"}]}],
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Another one."},
                        {"type": "text", "text": "\n\n"},
                        {"type": "text", "text": "When?"},
                    ],
                }
            ],
            id="content in parts",
        ),
        pytest.param(
            [USER, ANSWER, OWN, USER], [USER, ANSWER, OWN, USER], id="one in the middle stays"
        ),
    ],
)
def test_system_messages_are_merged_into_the_first_user_turn(
    turns: list[Any], expected: list[Any]
) -> None:
    from finetune_trainer.ranks.data.system_message import merged

    given = json.dumps(turns)

    assert merged(turns) == expected
    assert json.dumps(turns) == given


@pytest.mark.parametrize("streaming", [False, True])
def test_a_template_without_system_turns_includes_merged_ones(
    streaming: bool, tmp_path: Path, tiny_model: Path
) -> None:
    model = with_template(tiny_model, tmp_path / "model", "gemma")
    rows = [{"messages": [USER, ANSWER]}, {"messages": [OWN, USER, ANSWER]}]

    prepared = prepare(
        tmp_path,
        model,
        rows,
        merge_system_message=True,
        dataset_streaming=streaming,
        max_steps=1,
    )

    assert ["Another one.\n\nWhen?" in text for text in prepared.texts()] == [False, True]
    assert prepared.notes() == {}


def test_the_configured_system_message_is_merged_too(tmp_path: Path, tiny_model: Path) -> None:
    model = with_template(tiny_model, tmp_path / "model", "gemma")

    prepared = prepare(
        tmp_path,
        model,
        [{"messages": [USER, ANSWER]}],
        system_message=MESSAGE,
        merge_system_message=True,
    )

    assert f"{MESSAGE}\n\nWhen?" in prepared.texts()[0]


def test_text_data_are_noted_as_having_nothing_to_merge(tmp_path: Path, tiny_model: Path) -> None:
    prepared = prepare(tmp_path, tiny_model, [{"text": "At 7."}], merge_system_message=True)

    (note,) = prepared.trainer.notes
    assert note.message.startswith("merge_system_message has no effect")
