# SPDX-License-Identifier: Apache-2.0
"""Adapters on a model in 4 and 8 bits: bitsandbytes supports both on a CPU, too, only slower."""

from pathlib import Path
from typing import Any

import pytest

from support.long_form import keeping
from trainer.in_process import train
from trainer.published import load_adapter, load_tokenizer, require_learned
from trainer.tiny_models import a_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its matrices are multiples of bitsandbytes' blocks."""
    place = tmp_path_factory.mktemp("model")
    return a_model(place, hidden_size=64, intermediate_size=128)


@pytest.fixture(scope="module")
def loss_of_whole_numbers(
    tmp_path_factory: pytest.TempPathFactory, model: Path, dialogues: Path
) -> float:
    """The first loss of the same run with weights that are not quantized."""
    return train(tmp_path_factory.mktemp("plain"), model, dialogues, max_steps=1).losses()[0]


@pytest.mark.parametrize(
    ("config", "options"),
    keeping(
        ("nf4", "8 bits"),
        [
            pytest.param(
                {"load_in_4bit": True},
                {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
                id="nf4",
            ),
            pytest.param(
                {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"},
                {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"},
                id="fp4",
            ),
            pytest.param(
                {"load_in_4bit": True, "use_bnb_nested_quant": True, "dtype": "bfloat16"},
                {
                    "load_in_4bit": True,
                    "bnb_4bit_quant_type": "nf4",
                    "bnb_4bit_use_double_quant": True,
                },
                id="nf4 with quantized scales in bfloat16",
            ),
            pytest.param(
                {"load_in_4bit": True, "use_dora": True},
                {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
                id="DoRA on nf4",
            ),
            pytest.param({"load_in_8bit": True}, {"load_in_8bit": True}, id="8 bits"),
        ],
    ),
)
def test_an_adapter_is_trained_on_a_quantized_model(
    tmp_path: Path,
    model: Path,
    dialogues: Path,
    loss_of_whole_numbers: float,
    config: dict[str, Any],
    options: dict[str, Any],
) -> None:
    from transformers import BitsAndBytesConfig

    trained = train(tmp_path, model, dialogues, **config)

    assert trained.outcome.adapter_verified
    assert trained.losses()[0] != loss_of_whole_numbers
    assert trained.losses()[0] == pytest.approx(loss_of_whole_numbers, rel=0.01)
    quantization = BitsAndBytesConfig(**options)
    quantized = load_adapter(trained, model, quantization_config=quantization)
    require_learned(quantized, model, load_tokenizer(trained))
    require_learned(load_adapter(trained, model), model, load_tokenizer(trained))


def test_dora_on_8_bits_is_refused_where_there_is_no_gpu(
    tmp_path: Path, model: Path, dialogues: Path
) -> None:
    trained = train(tmp_path, model, dialogues, load_in_8bit=True, use_dora=True)

    assert trained.words().startswith(
        "InvalidConfig: use_dora: found true together with load_in_8bit"
    )


def test_an_adapter_of_a_quantized_model_is_merged_into_the_unquantized_one(
    tmp_path: Path, model: Path, dialogues: Path
) -> None:
    """A second rounding to four bits would remove the training's changes."""
    import torch
    from transformers import AutoModelForCausalLM

    config = {"load_in_4bit": True, "merge_adapter": True, "dtype": "bfloat16"}
    trained = train(tmp_path, model, dialogues, **config)

    assert trained.outcome.failure is None, trained.words()
    merged = AutoModelForCausalLM.from_pretrained(trained.published / "model")
    assert merged.dtype is torch.bfloat16
    assert not getattr(merged.config, "quantization_config", None)
    require_learned(merged, model, load_tokenizer(trained))
