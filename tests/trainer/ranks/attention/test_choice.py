# SPDX-License-Identifier: Apache-2.0
"""The selected attention: for flat rows torch's own by borders, else the appropriate one."""

from typing import Any
from unittest import mock

import pytest

pytestmark = pytest.mark.slow  # Importing torch takes a quarter of a minute.

ENOUGH: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "vocab_size": 50, "pad_token_id": 0,
}  # fmt: skip


def chosen(kind: str = "llama", named: str | None = None, **training: Any) -> Any:
    """The attention of a model of this kind that is loaded with this config."""
    from transformers import AutoConfig, AutoModelForCausalLM
    from trl import SFTConfig

    from finetune_trainer.ranks.attention.choice import choose, name_to_load

    sizes = training.pop("sizes", {})
    config = AutoConfig.for_model(kind, **{**ENOUGH, **sizes})
    model = AutoModelForCausalLM.from_config(config, attn_implementation=name_to_load(named))
    arguments = SFTConfig(
        output_dir="nowhere", use_cpu=True, bf16=False, report_to="none", **training
    )
    return choose(model, arguments, named)


@pytest.mark.parametrize("named", [None, "sdpa", "flash_attention_2"])
@pytest.mark.parametrize(
    "rows",
    [
        {"packing": True},
        {"packing": True, "packing_strategy": "bfd_split"},
        {"padding_free": True, "max_length": None},
    ],
    ids=["packed", "packed and split", "padding-free"],
)
def test_flat_rows_use_attention_by_their_boundaries(
    named: str | None, rows: dict[str, Any]
) -> None:
    from finetune_spec.attention import ONE_BY_ONE

    assert chosen(named=named, **rows) == ONE_BY_ONE


@pytest.mark.parametrize("named", [None, "sdpa", "flash_attention_2"])
def test_other_rows_use_sdpa(named: str | None) -> None:
    from finetune_spec.attention import PADDED, WRAPPED

    assert chosen(named=named) == PADDED
    assert chosen(named=named, packing=True, packing_strategy="wrapped") == WRAPPED


@pytest.mark.parametrize("named", [None, "sdpa", "flash_attention_2"])
@pytest.mark.parametrize("kind", ["gemma2", "vaultgemma", "gpt_oss"])
def test_soft_capped_or_sink_scores_use_eager_attention(kind: str, named: str | None) -> None:
    found = chosen(kind, named, packing=True, sizes={"head_dim": 16})

    assert found.name == "eager"
    assert (
        "ForCausalLM has an attention variant that neither sdpa nor torch's kernels support"
        in found.words
    )


def test_chunked_attention_keeps_its_mask() -> None:
    found = chosen("llama4_text", packing=True, sizes={"head_dim": 16, "num_local_experts": 2})

    assert found.name == "sdpa"
    assert "requires the mask of its flat rows" in found.words


def test_sequence_parallelism_keeps_the_mask() -> None:
    from finetune_trainer.ranks.attention import choice

    model = mock.Mock()
    model.config._attn_implementation = "sdpa"
    training = mock.Mock(packing=True, packing_strategy="bfd", parallelism_config=mock.Mock())

    assert choice.choose(model, training, None).name == "sdpa"


@pytest.mark.parametrize("named", ["eager", "flex_attention"])
def test_any_other_named_attention_is_used(named: str) -> None:
    assert str(chosen(named=named, packing=True)) == f"{named}: as set by attn_implementation"


@pytest.mark.parametrize(
    ("capability", "size", "is_kernel"),
    [((9, 0), 16, True), ((8, 6), 16, True), ((7, 5), 16, False), ((9, 0), 20, False)],
)
def test_on_a_gpu_the_kernels_are_used_where_they_are_supported(
    capability: tuple[int, int], size: int, is_kernel: bool
) -> None:
    import torch

    from finetune_spec.attention import BY_KERNEL, ONE_BY_ONE

    cuda = torch.cuda
    with (
        mock.patch.object(cuda, "is_available", return_value=True),
        mock.patch.object(cuda, "get_device_capability", return_value=capability),
    ):
        found = chosen(named="flash_attention_2", packing=True, sizes={"head_dim": size})

    assert found == (BY_KERNEL if is_kernel else ONE_BY_ONE)


def test_the_flash_attention_package_is_used_if_installed() -> None:
    import torch

    from finetune_trainer.ranks.attention import choice

    with mock.patch.object(choice, "has_flash_attention", return_value=True):
        on_cpu = choice.name_to_load("flash_attention_2")
        with mock.patch.object(torch.cuda, "is_available", return_value=True):
            on_gpu = choice.name_to_load("flash_attention_2")

    assert (on_cpu, on_gpu) == (None, "flash_attention_2")


def test_an_image_with_an_older_torch_works_without_the_kernels() -> None:
    import sys

    from finetune_trainer.ranks.attention.varlen import find_kernel

    find_kernel.cache_clear()
    with mock.patch.dict(sys.modules, {"torch.nn.attention.varlen": None}):
        assert find_kernel() is None
    find_kernel.cache_clear()
    assert find_kernel() is not None
