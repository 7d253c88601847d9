# SPDX-License-Identifier: Apache-2.0
"""Models of a few random weights for tests, with SmolLM2's own tokenizer and chat template."""

from pathlib import Path
from typing import Any

from testbed import base_model

LLAMA = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}


def a_model(place: Path, model_type: str = "llama", **sizes: Any) -> Path:
    """One of transformers' architectures; `sizes` are its config's, on top of a small Llama's."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base_model.folder())
    tokenizer.save_pretrained(place)
    config = AutoConfig.for_model(
        model_type,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **{**LLAMA, **sizes},
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(config).save_pretrained(place)
    return place


def a_tokenizer(place: Path, token: str) -> Path:
    """SmolLM2's, with a token more."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base_model.folder())
    tokenizer.add_tokens([token])
    tokenizer.save_pretrained(place)
    return place
