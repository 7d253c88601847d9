# SPDX-License-Identifier: Apache-2.0
"""A model's `config.json` -> its architecture. No I/O here."""

from collections.abc import Mapping
from typing import Any

from finetune_spec.memory.architecture import Architecture, Experts, Linear, MatrixInput
from finetune_spec.memory.families import FAMILIES, LLAMA, Family

_NAMES: Mapping[str, tuple[str, ...]] = {
    "hidden": ("hidden_size", "n_embd", "d_model"),
    "layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "heads": ("num_attention_heads", "n_head", "num_heads"),
    "vocabulary": ("vocab_size",),
}
"""The required numbers of every config, each with its possible names."""

_CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len")
_WIDTH = ("intermediate_size", "n_inner", "ffn_hidden_size", "ffn_dim")
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
_ACTIVATION = ("activation_function", "hidden_act", "hidden_activation")
_WRITTEN_OUT = frozenset({"gelu_new", "gelu_fast", "quick_gelu", "gelu_accurate"})
"""Activations that transformers computes in several operations, each of which keeps its result."""


_COUNTED = frozenset(
    {
        *(name for names in _NAMES.values() for name in names),
        *_CONTEXT,
        *_WIDTH,
        *_EXPERTS,
        *("head_dim", "moe_intermediate_size", "num_experts_per_tok", "num_key_value_heads"),
        *("num_kv_heads", "shared_expert_intermediate_size"),
    }
)
"""The numbers that an architecture consists of."""

MOST_LAYERS = 2000
"""The deepest decoders have a few hundred."""

_LARGEST = 10**9
_LONGEST_TOLD = 200


class UnreadableModel(ValueError):
    """A config.json with too little information about its model; the message names the missing
    part.
    """


def parse_model(config: Mapping[str, Any]) -> Architecture:
    """
    Raises:
        UnreadableModel: it lacks the numbers of a decoder.
    """
    try:
        _require_bounded(config)
        return _parse(config)
    except (TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        if isinstance(error, UnreadableModel):
            raise
        # The file is untrusted, and may contain anything.
        told = str(error)[:_LONGEST_TOLD]
        raise UnreadableModel(f"the model's config.json cannot be parsed: {told}") from None


def _require_bounded(config: Mapping[str, Any]) -> None:
    """Numbers must be small enough to count with: sums of them become floats later."""
    for part in (config, config.get("text_config") or {}):
        for name, value in part.items():
            if not isinstance(value, int | float) or isinstance(value, bool):
                continue
            most = MOST_LAYERS if name in _NAMES["layers"] else _LARGEST
            if name in _COUNTED and not abs(value) <= most:
                raise UnreadableModel(
                    f"the model's config.json has {str(name)[:40]}: {str(value)[:40]}, expected "
                    f"at most {most}"
                )


def _parse(config: Mapping[str, Any]) -> Architecture:
    outer, config = config, config.get("text_config") or config
    model_type = str(config.get("model_type") or outer.get("model_type") or "")
    family = FAMILIES.get(model_type, LLAMA)
    config = {**family.defaults, **config}
    hidden, layers, heads, vocabulary = (_require(config, name) for name in _NAMES)
    head_dim = int(config.get("head_dim") or hidden // heads)
    query, key_value = heads * head_dim, _key_value_heads(config, heads) * head_dim
    experts, norms = _parse_experts(config), _norms(family, config)
    attention = _attention(family, config, hidden, query, key_value)
    linears = (*attention, *_mlp(family, config, hidden, experts))
    query_key_norm = _query_key_norm(family, head_dim, query, key_value)
    norm = hidden * (2 if family.has_norm_bias else 1)
    context = _first(config, _CONTEXT)
    return Architecture(
        model_type=model_type,
        hidden=hidden,
        layers=layers,
        heads=heads,
        query=query,
        key_value=key_value,
        vocabulary=vocabulary,
        context=context,
        linears=linears,
        experts=experts,
        width=_active_width(linears, experts),
        is_gated=family.is_gated or experts is not None,
        activation_copies=4 if _first_text(config, _ACTIVATION) in _WRITTEN_OUT else 1,
        norms=norms,
        norm=norm,
        is_rms_norm=family.is_rms_norm,
        scales_in_32_bits=family.scales_in_32_bits,
        softcaps_attention=bool(config.get("attn_logit_softcapping")),
        keeps_projection=len(family.attention) == 1 and family.is_rotary,
        query_key_norm=query_key_norm,
        vectors=layers * (norms * norm + query_key_norm) + family.extra_norms * norm,
        embedding=(vocabulary + _learned_positions(family, context)) * hidden,
        head=_head(family, hidden, vocabulary, outer, config),
        path=family.path,
        stored_dtype=config.get("dtype") or config.get("torch_dtype") or outer.get("torch_dtype"),
        quantization_bits=_quantization_bits(outer),
        is_known=model_type in FAMILIES,
    )


def _learned_positions(family: Family, context: int | None) -> int:
    return 0 if family.learned_positions is None else (context or 0) + family.learned_positions


def _head(
    family: Family, hidden: int, vocabulary: int, outer: Mapping[str, Any], inner: Mapping[str, Any]
) -> int:
    given = [config.get("tie_word_embeddings") for config in (outer, inner)]
    is_tied = next((value for value in given if value is not None), family.is_tied)
    return 0 if is_tied else vocabulary * (hidden + (1 if family.head_bias else 0))


def _attention(
    family: Family, config: Mapping[str, Any], hidden: int, query: int, key_value: int
) -> tuple[Linear, ...]:
    has_bias = _decided(family.attention_bias, config, "attention_bias", "use_qkv_bias", "bias")
    widths = [query, key_value, key_value]
    if len(family.attention) == 1:
        widths = [sum(widths)]
    matrices = [
        Linear(
            name=name,
            inputs=hidden,
            outputs=outputs,
            source=MatrixInput.ATTENTION_INPUT,
            has_bias=has_bias,
        )
        for name, outputs in zip(family.attention, widths, strict=True)
    ]
    output = Linear(
        name=family.output,
        inputs=query,
        outputs=hidden,
        source=MatrixInput.ATTENTION_OUTPUT,
        has_bias=_decided(family.output_bias, config, "attention_out_bias", "attention_bias"),
    )
    return (*matrices, output)


def _mlp(
    family: Family, config: Mapping[str, Any], hidden: int, experts: Experts | None
) -> tuple[Linear, ...]:
    width = _first(config, _WIDTH) or 4 * hidden
    if experts is not None:
        # Only the parts that every token passes through are matrices.
        width = int(config.get("shared_expert_intermediate_size") or 0)
        if not width:
            return ()
    has_bias = _decided(family.mlp_bias, config, "mlp_bias")
    *inner, last = family.mlp
    factor = 2 if family.is_gated and len(inner) == 1 else 1
    prefix = "" if experts is None else "mlp.shared_expert."

    def name(module: str) -> str:
        return prefix + module.removeprefix("mlp.") if prefix else module

    matrices = [
        Linear(
            name=name(module),
            inputs=hidden,
            outputs=width * factor,
            source=MatrixInput.MLP_INPUT,
            has_bias=has_bias,
        )
        for module in inner
    ]
    if prefix:
        gate = Linear(
            name="mlp.shared_expert_gate", inputs=hidden, outputs=1, source=MatrixInput.MLP_INPUT
        )
        matrices.append(gate)
    product = Linear(
        name=name(last),
        inputs=width,
        outputs=hidden,
        source=MatrixInput.MLP_PRODUCT,
        has_bias=has_bias,
    )
    return (*matrices, product)


def _parse_experts(config: Mapping[str, Any]) -> Experts | None:
    count = _first(config, _EXPERTS)
    if not count:
        return None
    width = int(config.get("moe_intermediate_size") or _first(config, _WIDTH) or 0)
    active = int(config.get("num_experts_per_tok") or 1)
    return Experts(count=count, active=active, width=width)


def _active_width(linears: tuple[Linear, ...], experts: Experts | None) -> int:
    width = sum(linear.inputs for linear in linears if linear.source is MatrixInput.MLP_PRODUCT)
    return width + (0 if experts is None else experts.active * experts.width)


def _key_value_heads(config: Mapping[str, Any], heads: int) -> int:
    if config.get("new_decoder_architecture"):  # Falcon, 40B and later.
        return int(config.get("num_kv_heads") or heads)
    if config.get("multi_query"):  # Falcon, 7B.
        return 1
    return int(config.get("num_key_value_heads") or heads)


def _norms(family: Family, config: Mapping[str, Any]) -> int:
    if config.get("new_decoder_architecture") or config.get("parallel_attn") is False:  # Falcon.
        return 2
    return family.norms


def _query_key_norm(family: Family, head_dim: int, query: int, key_value: int) -> int:
    return {"": 0, "head": 2 * head_dim, "whole": query + key_value}[family.query_key_norm]


def _quantization_bits(config: Mapping[str, Any]) -> int | None:
    quantization = config.get("quantization_config") or {}
    if quantization.get("load_in_4bit"):
        return 4
    if quantization.get("load_in_8bit"):
        return 8
    bits = quantization.get("bits")
    return bits if isinstance(bits, int) else None


def _decided(by_family: bool | None, config: Mapping[str, Any], *names: str) -> bool:
    if by_family is not None:
        return by_family
    return any(bool(config.get(name)) for name in names)


def _require(config: Mapping[str, Any], name: str) -> int:
    found = _first(config, _NAMES[name])
    if found is None:
        raise UnreadableModel(f"the model's config.json has no {_NAMES[name][0]}")
    return found


def _first(config: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    return next(
        (config[name] for name in names if isinstance(config.get(name), int) and config[name] > 0),
        None,
    )


def _first_text(config: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((str(config[name]) for name in names if config.get(name)), "")
