# SPDX-License-Identifier: Apache-2.0
"""A text that already begins with the tokenizer's BOS is trained with only one."""

from pathlib import Path
from typing import Any

import pytest

from trainer.prepared_data import prepare
from trainer.tiny_models import with_beginning

pytestmark = pytest.mark.slow  # Importing TRL takes a quarter of a minute.

TOKEN = "<|endoftext|>"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param({"text": f"{TOKEN}Ahoy."}, f"{TOKEN}Ahoy.<|im_end|>", id="a text"),
        pytest.param({"text": "Ahoy."}, f"{TOKEN}Ahoy.<|im_end|>", id="a text without it"),
        pytest.param(
            {"text": f"Ahoy.{TOKEN}Soup."},
            f"{TOKEN}Ahoy.{TOKEN}Soup.<|im_end|>",
            id="one in the middle stays",
        ),
        pytest.param(
            {"prompt": f"{TOKEN}Hi?", "completion": " Ahoy."},
            f"{TOKEN}Hi? Ahoy.<|im_end|>",
            id="a prompt",
        ),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_a_text_has_one_bos_token(
    row: dict[str, Any], expected: str, streaming: bool, tmp_path: Path, tiny_model: Path
) -> None:
    model = with_beginning(tiny_model, tmp_path / "model", TOKEN)

    prepared = prepare(tmp_path, model, [row], dataset_streaming=streaming, max_steps=1)

    assert prepared.texts() == [expected]


def test_a_tokenizer_without_a_bos_token_leaves_texts_unchanged(
    tmp_path: Path, tiny_model: Path
) -> None:
    (text,) = prepare(tmp_path, tiny_model, [{"text": "<|im_start|>Ahoy."}]).texts()

    assert text == "<|im_start|>Ahoy.<|im_end|>"
