# SPDX-License-Identifier: Apache-2.0
"""A model whose vocabulary is SentencePiece's or tiktoken's own file trains like any other."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.tiny_models import a_model

pytestmark = pytest.mark.slow

TEXTS = [f"Boat {number} lies at pier {number * 7 % 13}." for number in range(300)]


def sentencepiece_file() -> bytes:
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS),
        model_writer=written,
        vocab_size=64,
        model_type="bpe",
        minloglevel=2,
    )
    return written.getvalue()


def tiktoken_file() -> bytes:
    tokens = [bytes([byte]) for byte in range(256)] + [b"Bo", b"at", b"Boat"]
    lines = (f"{base64.b64encode(token).decode()} {rank}" for rank, token in enumerate(tokens))
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("content", "tokenizer"),
    [
        pytest.param(sentencepiece_file, "LlamaTokenizer", id="SentencePiece, as Llama 2 has it"),
        pytest.param(tiktoken_file, "PreTrainedTokenizerFast", id="tiktoken, as Llama 3 has it"),
    ],
)
def test_the_trained_tokens_decode_to_the_text(
    content: Callable[[], bytes], tokenizer: str, tmp_path: Path
) -> None:
    from trainer.in_process import train
    from trainer.prepared_data import data_of, prepare

    model = a_model(tmp_path / "model")
    for path in (model / "tokenizer.json", model / "tokenizer_config.json"):
        path.unlink()
    (model / "tokenizer.model").write_bytes(content())
    (model / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": tokenizer, "eos_token": "7", "pad_token": "0"})
    )
    rows = [{"text": text} for text in TEXTS[:8]]

    assert prepare(tmp_path, model, rows).texts() == [f"{text}7" for text in TEXTS[:8]]
    done = train(tmp_path, model, data_of(tmp_path, rows), max_steps=1)
    assert done.outcome.failure is None, done.words()
