# SPDX-License-Identifier: Apache-2.0
"""The attention of a config, as far as it is known before the model is loaded."""

from collections.abc import Mapping
from typing import Any

import pytest

from finetune_spec.attention import (
    BY_KERNEL,
    EAGER,
    ONE_BY_ONE,
    PADDED,
    VARLEN,
    WRAPPED,
    Attention,
    as_named,
    expected_attention,
)
from finetune_spec.config import Context, read_config
from finetune_spec.memory import parse_model
from finetune_spec.memory.strategy import Strategy, read_strategy

TORCHS_OWN: tuple[Mapping[str, Any], ...] = (
    {},
    {"attn_implementation": "sdpa"},
    {"attn_implementation": "flash_attention_2"},
    {"model_init_kwargs": {"attn_implementation": "flash_attention_2"}},
    {"model_init_kwargs": {"attn_implementation": None}, "attn_implementation": "eager"},
)

GEMMA_2: Mapping[str, Any] = {
    "model_type": "gemma2",
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "vocab_size": 256000,
    "attn_logit_softcapping": 50.0,
}


def expected(config: Mapping[str, Any], **known: Any) -> Attention:
    return expected_attention(read_config(config, Context().schema), **known)


def strategy(config: Mapping[str, Any], model: Mapping[str, Any]) -> Strategy:
    return read_strategy(read_config(config, Context().schema), parse_model(model), world_size=1)


@pytest.mark.parametrize("named", TORCHS_OWN)
@pytest.mark.parametrize(
    ("rows", "on_gpu", "on_cpu"),
    [
        ({}, PADDED, PADDED),
        ({"packing": True}, BY_KERNEL, ONE_BY_ONE),
        ({"packing": True, "packing_strategy": "bfd_split"}, BY_KERNEL, ONE_BY_ONE),
        ({"packing": True, "packing_strategy": "wrapped"}, WRAPPED, WRAPPED),
        ({"padding_free": True, "max_length": None}, BY_KERNEL, ONE_BY_ONE),
    ],
    ids=["padded", "packed", "packed and split", "wrapped", "padding-free"],
)
def test_torchs_attention_is_chosen_by_rows_and_hardware(
    named: Mapping[str, Any], rows: Mapping[str, Any], on_gpu: Attention, on_cpu: Attention
) -> None:
    assert expected({**rows, **named}) == on_gpu
    assert expected({**rows, **named}, has_gpus=False) == on_cpu
    assert expected({**rows, **named}, softcaps=True).name == EAGER


@pytest.mark.parametrize("name", ["eager", "flash_attention_3", "kernels-community/flash-attn2"])
def test_any_other_named_attention_is_used(name: str) -> None:
    assert expected({"attn_implementation": name, "packing": True}) == as_named(name)
    assert expected({"attn_implementation": name}, softcaps=True) == as_named(name)


def test_packing_needs_no_repeated_keys_and_eager_attention_needs_its_mask() -> None:
    packed = {"packing": True, "per_device_train_batch_size": 4}

    assert expected(packed).name == VARLEN
    llama = {**GEMMA_2, "model_type": "llama", "attn_logit_softcapping": None}
    assert not strategy(packed, llama).has_mask
    assert strategy({"per_device_train_batch_size": 4}, llama).has_mask
    assert strategy({**packed, "attn_implementation": "eager"}, llama).writes_attention
    assert not strategy(packed, llama).writes_attention
    assert strategy(
        {**packed, "attn_implementation": "flash_attention_2"}, GEMMA_2
    ).writes_attention
