# SPDX-License-Identifier: Apache-2.0
"""Kinds of data from public reports, each with its correct result.

Trained texts are decoded again; a sentence reports the others.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from trainer.ranks.data.test_data_shapes import arguments
from trainer.ranks.data.test_texts_as_they_stand import END, Reader, lines, read

__all__ = ["read"]

pytestmark = pytest.mark.slow  # importing datasets and torch

ZSTANDARD = "KLUv/QBIkQEAeyJwcm9tcHQiOiAiV2hlcmU/ICIsICJjb21wbGV0aW9uIjogIkF0IHBpZXIgMS4ifQo="
SYSTEM = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n"
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A file, and either the trained texts or the sentence with the reason."""

    name: str
    body: bytes
    trained: tuple[str, ...] = ()
    sentence: str = ""
    remedy: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)


def spoken(question: str, answer: str) -> str:
    return (
        f"{SYSTEM}<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n{answer}"
        "<|im_end|>\n"
    )


def in_parts(*texts: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text} for text in texts]


CASES = {
    "words that pandas takes for nothing": Case(
        name="train.csv",
        body=b"prompt,completion\nWhich dock?,None\nWhich?,NA\nWho?,null\nWhy?,n/a\n",
        trained=(
            f"Which dock?None{END}",
            f"Which?NA{END}",
            f"Who?null{END}",
            f"Why?n/a{END}",
        ),
    ),
    "codes with leading zeros": Case(
        name="train.csv",
        body=b"prompt,completion\nCode?,000\nCode 7?,007\n",
        trained=(f"Code?000{END}", f"Code 7?007{END}"),
    ),
    "an index that pandas wrote": Case(
        name="train.csv",
        body=b",prompt,completion\n0,Code?,1.10\n1,Code?,+5\n",
        trained=(f"Code?1.10{END}", f"Code?+5{END}"),
    ),
    "a comma at the end of each row": Case(
        name="train.csv",
        body=b"prompt,completion\nWhen?,At 7.,\nWhere?,At 9.,\n",
        sentence="train.csv, line 2 has 3 values, but the header names 2 columns",
    ),
    "content in parts": Case(
        name="train.jsonl",
        body=lines(
            [
                {
                    "messages": [
                        {"role": "user", "content": in_parts("Where is ", "boat 0?")},
                        {"role": "assistant", "content": in_parts("At pier 0.")},
                    ]
                }
            ]
        ),
        trained=(spoken("Where is boat 0?", "At pier 0."),),
    ),
    "content in parts beside content as text": Case(
        name="train.jsonl",
        body=lines(
            [
                {
                    "messages": [
                        {"role": "user", "content": "2024-01-01"},
                        {"role": "assistant", "content": in_parts("1.10")},
                    ]
                }
            ]
        ),
        trained=(spoken("2024-01-01", "1.10"),),
    ),
    "ultrachat's columns": Case(
        name="train.jsonl",
        body=lines([{"prompt": "Where?", "prompt_id": "00", "messages": []}]),
        sentence="the dataset has the columns prompt, prompt_id, messages",
        remedy="set dataset_columns: {messages: messages}",
    ),
    "compressed by Zstandard": Case(
        name="train.jsonl.zst",
        body=base64.b64decode(ZSTANDARD),
        trained=(f"Where? At pier 1.{END}",),
    ),
    "columns as lists in one object": Case(
        name="train.json",
        body=json.dumps({"prompt": ["a? ", "b? "], "completion": ["007", "NA"]}, indent=1).encode(),
        trained=(f"a? 007{END}", f"b? NA{END}"),
    ),
}


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_reported_data_are_trained_exactly_as_written_or_refused(
    case: Case, read: Reader, tmp_path: Path
) -> None:
    if not case.sentence:
        assert read(case.name, case.body, **case.config) == list(case.trained)
        return

    from finetune_trainer.failures.errors import AttemptFailed
    from finetune_trainer.ranks.data import prepare_data

    file = tmp_path / case.name
    file.write_bytes(case.body)

    with pytest.raises(AttemptFailed) as caught:
        prepare_data(arguments(tmp_path, file, **case.config))

    assert case.sentence in caught.value.failure.message
    assert case.remedy in caught.value.failure.remedy
