# SPDX-License-Identifier: Apache-2.0
"""Data in every format is trained on, in a complete attempt; data in no known format is reported.

The result for a row is read from TRL's tokens.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from trainer.in_process import Trained, train
from trainer.runs import a_folder

pytestmark = pytest.mark.slow  # importing datasets and torch

USER = {"role": "user", "content": "When?"}
ANSWER = {"role": "assistant", "content": "At 7."}
SYSTEM = {"role": "system", "content": "Be brief."}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "function": {"name": "clock", "arguments": {"zone": "C"}}}],
}
CLOCK = {
    "type": "function",
    "function": {
        "name": "clock",
        "description": "Tells the time.",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}},
    },
}
ALPACA = {"instruction": "Translate.", "input": "Guten Tag", "output": "Good day"}
SHAREGPT = {
    "conversations": [{"from": "human", "value": "When?"}, {"from": "gpt", "value": "At 7."}]
}
PAIR = ["When?", "At 7."]
SPOKEN = "<|im_start|>user\nWhen?<|im_end|>\n<|im_start|>assistant\nAt 7.<|im_end|>\n"
BRIEF = "<|im_start|>system\nBe brief.<|im_end|>\n"
TEXT = "When? At 7.<|im_end|>"


def lines(*rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.fixture
def tokenized() -> Iterator[list[str]]:
    """The texts that TRL trains on, filled in by the trainings of the test."""
    from trl import SFTTrainer

    texts: list[str] = []
    prepare = SFTTrainer.train

    def seen(trainer: SFTTrainer, *arguments: Any, **options: Any) -> Any:
        rows = trainer.train_dataset
        texts.extend(trainer.processing_class.decode(row["input_ids"]) for row in rows.take(9))
        return prepare(trainer, *arguments, **options)

    with mock.patch.object(SFTTrainer, "train", seen):
        yield texts


def trained(place: Path, model: Path, *rows: Any, **config: Any) -> Trained:
    data = a_folder(place / "data", {"train.jsonl": lines(*rows)})
    return train(place, model, data, **{"max_steps": 1, **config})


@pytest.mark.parametrize(
    ("row", "config", "expected"),
    [
        pytest.param({"text": TEXT}, {}, TEXT, id="text"),
        pytest.param(
            {"body": TEXT, "id": 3}, {"dataset_text_field": "body"}, TEXT, id="another text field"
        ),
        pytest.param(
            {"prompt": "When? ", "completion": "At 7."}, {}, TEXT, id="prompt and completion"
        ),
        pytest.param(
            {"prompt": "When? ", "completion": 7}, {}, "When? 7<|im_end|>", id="a number as content"
        ),
        pytest.param(
            {"prompt": [SYSTEM, USER], "completion": [ANSWER]},
            {},
            BRIEF + SPOKEN,
            id="prompt and completion as conversations",
        ),
        pytest.param({"messages": [SYSTEM, USER, ANSWER]}, {}, BRIEF + SPOKEN, id="messages"),
        pytest.param(
            {"conversations": [SYSTEM, USER, ANSWER]}, {}, BRIEF + SPOKEN, id="conversations"
        ),
        pytest.param(
            {"chat": [SYSTEM, USER, ANSWER], "prompt": "noise"},
            {"dataset_columns": {"messages": "chat"}},
            BRIEF + SPOKEN,
            id="renamed messages and a column that would mislead TRL",
        ),
        pytest.param(PAIR, {"dataset_format": "pairs"}, "When?At 7.<|im_end|>", id="pairs"),
        pytest.param(
            PAIR,
            {"dataset_format": "pairs", "system_message": "Be brief."},
            BRIEF + SPOKEN,
            id="pairs with a system message",
        ),
        pytest.param(
            {"qa": PAIR, "id": 3},
            {"dataset_format": "pairs", "dataset_columns": {"pair": "qa"}},
            "When?At 7.<|im_end|>",
            id="a column of pairs",
        ),
        pytest.param(
            {"question": "When?", "answer": "At 7.", "prompt": "noise"},
            {"dataset_format": "question_answer", "system_message": "Be brief."},
            BRIEF + SPOKEN,
            id="question and answer with a system message",
        ),
        pytest.param(
            {"q": "When?", "a": "At 7."},
            {"dataset_columns": {"prompt": "q", "completion": "a"}, "system_message": "Be brief."},
            BRIEF + SPOKEN,
            id="columns with a system message",
        ),
        pytest.param(
            {"q": "When?", "a": "At 7."},
            {"prompt_template": "Q: {q}\nA: ", "completion_template": "{a}"},
            "Q: When?\nA: At 7.<|im_end|>",
            id="templates",
        ),
        pytest.param(
            {"q": "When?", "a": "At 7."},
            {
                "prompt_template": "{q}",
                "dataset_columns": {"completion": "a"},
                "system_message": "Be brief.",
            },
            BRIEF + SPOKEN,
            id="a template, a column and a system message",
        ),
        pytest.param(
            ALPACA,
            {"dataset_format": "alpaca", "system_message": "Be brief."},
            BRIEF + SPOKEN.replace("When?", "Translate.\n\nGuten Tag").replace("At 7.", "Good day"),
            id="Alpaca",
        ),
        pytest.param(
            SHAREGPT,
            {"dataset_format": "sharegpt", "system_message": "Be brief."},
            BRIEF + SPOKEN,
            id="ShareGPT",
        ),
        pytest.param(
            SHAREGPT,
            {"dataset_format": "sharegpt", "dataset_streaming": True},
            None,
            id="ShareGPT as a stream",
        ),
        pytest.param(
            PAIR,
            {"dataset_format": "pairs", "dataset_streaming": True, "system_message": "Be brief."},
            None,
            id="pairs as a stream",
        ),
    ],
)
def test_a_row_in_a_supported_shape_is_trained_on(
    row: Any,
    config: dict[str, Any],
    expected: str | None,
    tmp_path: Path,
    tiny_model: Path,
    tokenized: list[str],
) -> None:
    done = trained(tmp_path, tiny_model, row, row, **config)

    assert done.outcome.failure is None
    assert done.outcome.step == 1
    if expected is None:
        expected = (BRIEF if "system_message" in config else "") + SPOKEN
    system_of_model = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM"
    told = [text for text in tokenized if not text.startswith(system_of_model)]
    assert set(told or [text.split("<|im_end|>\n", 1)[1] for text in tokenized]) == {expected}


@pytest.mark.parametrize(
    "tools", [pytest.param([CLOCK], id="tools"), pytest.param(json.dumps([CLOCK]), id="as JSON")]
)
def test_tools_and_their_calls_are_rendered_by_the_models_template(
    tools: Any, tmp_path: Path, tiny_model: Path, tokenized: list[str]
) -> None:
    template = tmp_path / "tools.jinja"
    template.write_text(
        "{% for tool in tools %}[{{ tool.function.name }}]{% endfor %}"
        "{% for turn in messages %}{{ turn.role }}:{{ turn.content }}"
        "{% for call in turn.tool_calls or [] %}"
        "<{{ call.function.name }} {{ call.function.arguments | tojson }}>{% endfor %}"
        "{{ eos_token }}{% endfor %}"
    )
    row = {"messages": [USER, CALL, {"role": "tool", "content": "07:00"}, ANSWER], "tools": tools}
    other = {**row, "messages": [USER, ANSWER]}

    done = trained(tmp_path, tiny_model, row, other, chat_template_path=str(template))

    assert done.outcome.failure is None
    assert (
        '[clock]user:When?<|im_end|>assistant:<clock {"zone": "C"}><|im_end|>tool:07:00<|im_end|>'
        "assistant:At 7.<|im_end|>"
    ) in tokenized


@pytest.mark.parametrize(
    ("row", "config", "sentence", "remedy"),
    [
        pytest.param(
            {"question": "When?", "answer": "At 7."},
            {},
            "DatasetColumnMissing: the dataset has the columns question, answer; TRL trains on "
            "messages, on prompt and completion, or on text",
            "set dataset_format: question_answer",
            id="question and answer",
        ),
        pytest.param(
            ALPACA, {}, "the columns instruction, input, output", "dataset_format: alpaca", id="A"
        ),
        pytest.param(
            SHAREGPT,
            {},
            "UnknownRole: the turns of conversations are from human, which no chat template "
            "supports",
            "set dataset_format: sharegpt",
            id="ShareGPT",
        ),
        pytest.param(
            {"query": "When?", "response": "At 7."},
            {},
            "the columns query, response",
            "set dataset_columns: {prompt: query, completion: response}",
            id="names of others",
        ),
        pytest.param(
            {"dialog": [USER, ANSWER]},
            {},
            "the columns dialog",
            "set dataset_columns: {messages: dialog}",
            id="messages by another name",
        ),
        pytest.param(
            {"article": "At 7.", "id": 3}, {}, "article, id", "dataset_text_field: article", id="T"
        ),
        pytest.param({"p": PAIR}, {}, "columns p;", "set dataset_format: pairs", id="pairs"),
        pytest.param(
            PAIR,
            {},
            "InvalidDataset: train.jsonl, line 1 is a list",
            "set dataset_format: pairs",
            id="rows that are lists",
        ),
        pytest.param(
            {"prompt": "When?", "messages": [USER, ANSWER]},
            {},
            "the columns prompt, messages: TRL reads prompt with completion",
            "set dataset_columns: {messages: messages}",
            id="a prompt and messages",
        ),
        pytest.param(
            {"messages": "[]"},
            {},
            "messages of the first row is not a list",
            "as a list",
            id="JSON",
        ),
        pytest.param(
            {"question": "When?", "reply": "At 7."},
            {"dataset_format": "question_answer"},
            "dataset_format is question_answer, but the dataset has no column answer: it has "
            "question, reply",
            "set dataset_columns: {answer: ...}",
            id="a format without its column",
        ),
        pytest.param(
            {"instruction": "Hi", "response": "Ho"},
            {"dataset_format": "alpaca"},
            "has no column output",
            "set dataset_columns: {output: response}",
            id="a format with a column of another name",
        ),
        pytest.param(
            {"question": "When?", "answer": "At 7."},
            {"prompt_template": "{qestion}", "completion_template": "{answer}"},
            "prompt_template has {qestion}, but the dataset has no column qestion",
            "write question in prompt_template",
            id="a template with a misspelt column",
        ),
        pytest.param(
            {"question": "When?", "answer": "At 7."},
            {"dataset_columns": {"prompt": "question", "completion": "anwser"}},
            "dataset_columns.completion is anwser, but the dataset has no column anwser",
            "write answer in dataset_columns.completion",
            id="a misspelt column",
        ),
        pytest.param(
            {"question": "When?", "reply": "At 7."},
            {"prompt_template": "{question}"},
            "prompt_template is set without completion_template, but the dataset has no column "
            "completion",
            "set dataset_columns: {completion: ...}",
            id="a prompt without a completion",
        ),
        pytest.param(
            {"question": "When?", "answer": None},
            {"dataset_format": "question_answer"},
            "EmptyDataset: no row of train can be trained on: answer is empty (2 rows)",
            "change the data as these reasons describe",
            id="nothing is left",
        ),
    ],
)
def test_data_without_a_supported_shape_are_refused_with_the_key_that_would_fit(
    row: Any, config: dict[str, Any], sentence: str, remedy: str, tmp_path: Path
) -> None:
    from finetune_trainer.failures.errors import AttemptFailed
    from finetune_trainer.ranks.data import prepare_data

    data = a_folder(tmp_path / "data", {"train.jsonl": lines(row, row)})

    with pytest.raises(AttemptFailed) as caught:
        prepare_data(arguments(tmp_path, data, **config))

    failure = caught.value.failure
    assert sentence in f"{failure.reason}: {failure.message}"
    assert remedy in failure.remedy


def test_rows_without_anything_to_train_are_omitted_and_counted(tmp_path: Path) -> None:
    from finetune_trainer.ranks.data import prepare_data

    rows = [{"question": "When?", "answer": answer} for answer in ("At 7.", None, "", "At 8.")]
    data = a_folder(tmp_path / "data", {"train.jsonl": lines(*rows)})

    loaded = prepare_data(arguments(tmp_path, data, dataset_format="question_answer"))

    assert loaded.dropped == {"train": {"answer is empty": 2}}
    assert [row["messages"][1]["content"] for row in loaded.dataset["train"]] == ["At 7.", "At 8."]


@pytest.mark.parametrize(
    ("rows", "dropped"),
    [
        pytest.param([{"text": "a"}, {"text": None}], {"text is null": 1}, id="text"),
        pytest.param([{"text": "a"}, {"text": "b"}], {}, id="nothing is wrong"),
        pytest.param(
            [{"messages": [USER, ANSWER]}, {"messages": []}], {"messages is empty": 1}, id="turns"
        ),
        pytest.param(
            [{"messages": [USER, ANSWER]}, {"messages": [{**USER, "content": None}, ANSWER]}],
            {"messages has a turn without content": 1},
            id="a turn of null",
        ),
    ],
)
@pytest.mark.parametrize("streaming", [False, True], ids=["on disk", "as a stream"])
def test_rows_in_trls_shapes_that_trl_fails_on_are_omitted(
    rows: list[Any], dropped: dict[str, int], streaming: bool, tmp_path: Path
) -> None:
    from finetune_trainer.ranks.data import prepare_data

    data = a_folder(tmp_path / "data", {"train.jsonl": lines(*rows)})

    loaded = prepare_data(arguments(tmp_path, data, dataset_streaming=streaming, max_steps=1))

    assert loaded.dropped == {"train": {} if streaming else dropped}
    assert len(list(loaded.dataset["train"])) == len(rows) - sum(dropped.values())


def arguments(place: Path, data: Path, **config: Any) -> Any:
    """The config as a rank parses it."""
    from finetune_trainer.ranks.arguments import read_arguments

    settings = {
        "model_name_or_path": "unused",
        "dataset_name": str(data),
        "output_dir": str(place / "training"),
        "use_cpu": True,
        "bf16": False,
        **config,
    }
    given = {key: value for key, value in settings.items() if value is not None}
    (place / "config.yaml").write_text(yaml.safe_dump(given))
    return read_arguments(place / "config.yaml")
