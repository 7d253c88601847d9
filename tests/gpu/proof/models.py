# SPDX-License-Identifier: Apache-2.0
"""Models of published sizes with random weights: neither speed nor memory depends on them."""

from collections.abc import Mapping
from typing import Any

from finetune_spec.memory import Architecture, parse_model

TINY = "tiny"

SIZES: Mapping[str, Mapping[str, Any]] = {
    "SmolLM2 135M": {
        "model_type": "llama",
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
        "tie_word_embeddings": True,
    },
    "Qwen2.5 0.5B": {
        "model_type": "qwen2",
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
    },
    "Qwen2.5 7B": {
        "model_type": "qwen2",
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
        "tie_word_embeddings": False,
    },
    TINY: {
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "vocab_size": 49152,
        "tie_word_embeddings": True,
    },
}
"""By the numbers of their `config.json`; the tiny one has SmolLM2's words."""

_CONTEXT = {"max_position_embeddings": 8192, "bos_token_id": 1, "eos_token_id": 2}


def architecture(name: str) -> Architecture:
    return parse_model({**SIZES[name], **_CONTEXT})


def build(name: str, device: str, attention: str, dtype: Any) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {key: value for key, value in SIZES[name].items() if key != "model_type"}
    config = AutoConfig.for_model(SIZES[name]["model_type"], **sizes, **_CONTEXT, pad_token_id=2)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, attn_implementation=attention, dtype=dtype)
