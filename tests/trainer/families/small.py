# SPDX-License-Identifier: Apache-2.0
"""Every text architecture of transformers, with a few random weights.

A config is the class's own with small numbers in place of the large ones, for all known names of
keys; `odd_sizes` lists classes that need other numbers.
"""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.families.odd_sizes import ODD_SIZES

VOCABULARY = 97
_MOST_WEIGHTS = 50_000_000
_SMALL: Mapping[str, int] = {
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input", "n_tokens"), VOCABULARY),
    **dict.fromkeys(
        ("hidden_size", "d_model", "n_embd", "dim", "embed_dim", "word_embed_proj_dim"), 32
    ),
    **dict.fromkeys(("embedding_size", "lru_width", "text_hidden_size", "dim_model"), 32),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "n_inner", "dim_ff", "dff"), 48),
    **dict.fromkeys(("decoder_ffn_dim", "encoder_ffn_dim", "ffn_hidden_size", "mlp_dim"), 48),
    **dict.fromkeys(("intermediate_size_mlp", "shared_intermediate_size"), 48),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "depth"), 2),
    **dict.fromkeys(("decoder_layers", "encoder_layers", "num_decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 2),
    **dict.fromkeys(("decoder_attention_heads", "encoder_attention_heads"), 2),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads"), 2),
    **dict.fromkeys(("head_dim", "attention_head_size", "d_kv", "kv_channels"), 16),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 16),
    **dict.fromkeys(("expert_ffn_hidden_size", "expert_ffn_size"), 16),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("moe_num_experts",), 4),
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_topk"), 2),
    **dict.fromkeys(("n_group", "topk_group", "n_groups_of_experts"), 1),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim"), 8),
    **dict.fromkeys(("v_head_dim",), 12),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"), 128),
    **dict.fromkeys(("max_target_positions", "max_source_positions"), 128),
    **dict.fromkeys(
        ("sliding_window", "attention_window_size", "local_attention", "window_size"), 6
    ),
    **dict.fromkeys(("attention_chunk_size",), 16),
    **dict.fromkeys(("index_topk", "keep_window_size", "index_block_size"), 4),
    **dict.fromkeys(("index_n_heads", "index_topk_blocks"), 2),
    **dict.fromkeys(("index_head_dim",), 16),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim"), 8),
    **dict.fromkeys(("linear_num_key_heads", "linear_num_value_heads"), 2),
    **dict.fromkeys(("mamba_d_state", "ssm_state_size", "state_size"), 8),
    **dict.fromkeys(("mamba_num_heads", "mamba_n_heads", "n_mamba_heads"), 4),
    **dict.fromkeys(("mamba_d_head", "mamba_head_dim", "mamba_headdim"), 16),
    **dict.fromkeys(("mamba_n_groups", "mamba_ngroups", "n_groups"), 1),
    **dict.fromkeys(("chunk_size", "mamba_chunk_size"), 16),
    **dict.fromkeys(("num_kv_shared_layers", "num_nextn_predict_layers"), 0),
    **dict.fromkeys(("hidden_size_per_layer_input", "rotary_dim"), 8),
    **dict.fromkeys(("image_size",), 32),
    **dict.fromkeys(("patch_size",), 16),
    **dict.fromkeys(("pad_token_id",), 0),
    **dict.fromkeys(("bos_token_id", "eos_token_id", "decoder_start_token_id"), 1),
}
_ALWAYS = (
    *("max_position_embeddings", "pad_token_id", "bos_token_id", "eos_token_id"),
    *("num_experts_per_tok", "n_routed_experts", "head_dim", "num_key_value_heads"),
)
"""Every real config has a value for these, though the class's default is None."""
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers")


def a_config(model_type: str) -> Any:
    from transformers import CONFIG_MAPPING

    kind = CONFIG_MAPPING[model_type]
    return kind(**_merged(_small(kind()), ODD_SIZES.get(model_type, {})))


def _small(config: Any) -> dict[str, Any]:
    """The arguments for a config of this class: its own keys that have a small value."""
    own = vars(config)
    values: dict[str, Any] = {
        name: _SMALL[name] for name in own if name in _SMALL and own[name] is not None
    }
    values.update({name: _SMALL[name] for name in _ALWAYS if name in own})
    if "qk_rope_head_dim" in own:
        values.pop("head_dim", None)  # It follows from the others.
    if "is_decoder" in own:
        values["is_decoder"] = True
    values.update(_layers(own, values))
    for name, value in own.items():
        if name.endswith(("_token_id", "_token_index")) and isinstance(value, int):
            values.setdefault(name, VOCABULARY - 1)
    for name in getattr(config, "sub_configs", {}):
        if (inner := own.get(name)) is not None:
            values[name] = {"model_type": inner.model_type, **_small(inner)}
    return values


def _layers(own: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """One layer of each kind that the architecture has, and at least two."""
    kinds = own.get("layer_types") or own.get("layers_block_type")
    if not isinstance(kinds, list | tuple):
        return {}
    name = "layer_types" if own.get("layer_types") else "layers_block_type"
    each = list(dict.fromkeys(kinds))
    each = each * 2 if len(each) == 1 else each
    return {name: each, **{key: len(each) for key in _LAYERS if key in values}}


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(first)
    for name, value in second.items():
        inner = both.get(name)
        is_inner = isinstance(inner, Mapping) and isinstance(value, Mapping)
        both[name] = _merged(inner, value) if is_inner else value
    return {name: value for name, value in both.items() if value != "left out"}


def a_model(model_type: str, attention: str | None = None) -> Any:
    """In 64 bits, with large weights that make any wrong result visible."""
    import torch

    config, kind = a_config(model_type), _class_of(model_type)
    with torch.device("meta"):
        size = sum(each.numel() for each in kind.from_config(config).parameters())
    if size > _MOST_WEIGHTS:
        raise ValueError(f"{model_type} has {size} weights, more than {_MOST_WEIGHTS}")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        named = {} if attention is None else {"attn_implementation": attention}
        model = kind.from_config(config, **named).eval()
        with torch.no_grad():
            for each in model.parameters():
                drawn = torch.randn(each.shape)
                each.copy_(0.2 * drawn if each.ndim > 1 else each + 0.1 * drawn)
    with contextlib.suppress(AttributeError, ValueError):
        model.set_experts_implementation("eager")  # Other implementations do not support 64 bits.
    return model.double()


def every_type() -> Sequence[str]:
    """Each `model_type` for which transformers has a text class."""
    from transformers.models.auto import modeling_auto as known

    found = (
        known.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        known.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    )
    return sorted({name for each in found for name in each})


def _class_of(model_type: str) -> Any:
    """As TRL selects it: the class that reads images if there is one."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    is_seeing = model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
    return AutoModelForImageTextToText if is_seeing else AutoModelForCausalLM
