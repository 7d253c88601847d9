# SPDX-License-Identifier: Apache-2.0
"""The families of decoders and their layers. A new one is one entry of `FAMILIES`.

Based on the modeling files of transformers 5.23; tests build each and compare the counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_SEPARATE = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
_GATED = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Facts that are in the model's code and not in its config.json."""

    attention: tuple[str, ...] = _SEPARATE
    """Queries, keys and values; a single name if one matrix computes all three."""
    output: str = "self_attn.o_proj"
    mlp: tuple[str, ...] = _GATED
    """In the order of use; the last one is the MLP's output."""
    is_gated: bool = True
    attention_bias: bool | None = None
    """A bias of queries, keys and values; None if the config's `attention_bias` decides."""
    output_bias: bool | None = None
    mlp_bias: bool | None = None
    """None if the config's `mlp_bias` decides."""
    norms: int = 2
    is_rms_norm: bool = True
    has_norm_bias: bool = False
    scales_in_32_bits: bool = False
    """Whether RMSNorm multiplies by its weight before it casts back to 16 bits."""
    query_key_norm: str = ""
    """`head` for one over each head, `whole` for one over all heads."""
    extra_norms: int = 1
    """Outside the layers."""
    learned_positions: int | None = None
    """Additional positions beyond the context; None without learned positions."""
    head_bias: bool = False
    is_tied: bool = False
    """The default if the config does not contain it."""
    is_rotary: bool = True
    """Whether queries and keys get rotary positions."""
    path: str = "model.layers"
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Defaults of the config's class, for keys that published configs leave out."""


LLAMA = Family()

_LAYER_NORM: Mapping[str, Any] = {"is_rms_norm": False, "has_norm_bias": True}
_PLAIN: Mapping[str, Any] = {
    "is_gated": False,
    "attention_bias": True,
    "output_bias": True,
    "mlp_bias": True,
    **_LAYER_NORM,
}
"""Biases everywhere, LayerNorm, no gate: the decoders before Llama."""

_GEMMA_3: Mapping[str, Any] = {
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "vocab_size": 262208,
    "max_position_embeddings": 131072,
}

_BIGSCIENCE: Mapping[str, Any] = {
    "attention": ("self_attention.query_key_value",),
    "output": "self_attention.dense",
    "mlp": ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
    "is_tied": True,
    "path": "transformer.h",
}

FAMILIES: Mapping[str, Family] = {
    "llama": LLAMA,
    "mistral": Family(attention_bias=False, output_bias=False, mlp_bias=False),
    "mixtral": Family(attention_bias=False, output_bias=False),
    "granite": LLAMA,
    "smollm3": Family(is_tied=True),
    "seed_oss": Family(attention_bias=True, output_bias=False),
    "qwen2": Family(attention_bias=True, output_bias=False, mlp_bias=False),
    "qwen2_moe": Family(attention_bias=True, output_bias=False, mlp_bias=False),
    "qwen3": Family(query_key_norm="head"),
    "qwen3_moe": Family(query_key_norm="head"),
    "olmo2": Family(query_key_norm="whole"),
    "gemma": Family(scales_in_32_bits=True, is_tied=True, defaults={"head_dim": 256}),
    "gemma2": Family(norms=4, scales_in_32_bits=True, is_tied=True, defaults={"head_dim": 256}),
    "gemma3_text": Family(
        norms=4, scales_in_32_bits=True, query_key_norm="head", is_tied=True, defaults=_GEMMA_3
    ),
    "phi3": Family(attention=("self_attn.qkv_proj",), mlp=("mlp.gate_up_proj", "mlp.down_proj")),
    "cohere": Family(norms=1, is_rms_norm=False, is_tied=True),
    "cohere2": Family(norms=1, is_rms_norm=False, is_tied=True),
    "stablelm": Family(output_bias=False, **_LAYER_NORM),
    "starcoder2": Family(
        mlp=("mlp.c_fc", "mlp.c_proj"),
        is_tied=True,
        **_PLAIN,
    ),
    "phi": Family(
        output="self_attn.dense", mlp=("mlp.fc1", "mlp.fc2"), norms=1, head_bias=True, **_PLAIN
    ),
    "opt": Family(
        is_rotary=False,
        output="self_attn.out_proj",
        mlp=("fc1", "fc2"),
        learned_positions=2,
        is_tied=True,
        path="model.decoder.layers",
        **_PLAIN,
    ),
    "gpt2": Family(
        is_rotary=False,
        attention=("attn.c_attn",),
        output="attn.c_proj",
        mlp=("mlp.c_fc", "mlp.c_proj"),
        learned_positions=0,
        is_tied=True,
        path="transformer.h",
        **_PLAIN,
    ),
    "gpt_neox": Family(
        attention=("attention.query_key_value",),
        output="attention.dense",
        mlp=("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
        path="gpt_neox.layers",
        **_PLAIN,
    ),
    "bloom": Family(extra_norms=2, is_rotary=False, **_BIGSCIENCE, **_PLAIN),
    "falcon": Family(
        is_gated=False,
        attention_bias=False,
        output_bias=False,
        mlp_bias=False,
        norms=1,
        **_BIGSCIENCE,
        **_LAYER_NORM,
    ),
}
