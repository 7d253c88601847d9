# SPDX-License-Identifier: Apache-2.0
"""Attention by the borders of flat rows has the same result as a mask of all pairs of tokens.

Without a GPU it processes one sequence after the other; tests/gpu covers the kernels.
"""

from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

import pytest

pytestmark = pytest.mark.slow  # Importing torch takes a quarter of a minute.

LENGTHS = (5, 1, 23, 40, 2)

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": 1},
    "qwen2": {},
    "qwen3": {"head_dim": 24, "num_key_value_heads": 1},
    "mistral": {"sliding_window": 7},
    "gemma": {"head_dim": 32},
    "gemma3_text": {"head_dim": 16, "sliding_window": 6, "query_pre_attn_scalar": 16},
    "olmo2": {},
    "olmo3": {"sliding_window": 6},
    "phi3": {"pad_token_id": 0},
    "smollm3": {"no_rope_layers": [1, 0], "pad_token_id": 0},
    "granite": {"attention_multiplier": 0.3},
    "cohere2": {"sliding_window": 6},
    "glm4": {"head_dim": 8, "pad_token_id": 0},
    "starcoder2": {"sliding_window": 9},
    "mixtral": {"num_local_experts": 2},
    "gpt_neox": {},
    "deepseek_v3": {
        "q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8,
        "v_head_dim": 12, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1,
        "topk_group": 1, "moe_intermediate_size": 16, "first_k_dense_replace": 1,
    },
}  # fmt: skip
"""With grouped queries, windows, layers of both kinds, values of another width than keys."""


def by_hand(query: Any, key: Any, value: Any, lengths: Sequence[int], **how: Any) -> Any:
    """Softmax of the scores with a mask of all pairs, in the tensors' own 64 bits."""
    import torch

    groups = query.shape[1] // key.shape[1]
    key, value = (each.repeat_interleave(groups, 1) for each in (key, value))
    row = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    token = torch.arange(sum(lengths))
    distance = token[:, None] - token[None, :]
    sees = (row[:, None] == row[None, :]) & (distance >= 0)
    if how["window"]:
        sees &= distance < how["window"]
    scores = (query @ key.transpose(2, 3) * how["scale"]).masked_fill(~sees, float("-inf"))
    return (scores.softmax(-1) @ value).transpose(1, 2)


@pytest.mark.parametrize("window", [None, 1, 4, 23, 400])
@pytest.mark.parametrize(
    ("heads", "groups", "size"),
    [(9, 3, 64), (4, 4, 16), (7, 1, 128), (2, 1, 256), (3, 3, 20), (2, 2, 320)],
)
def test_results_and_gradients_match_64_bit_ones(
    heads: int, groups: int, size: int, window: int | None
) -> None:
    import torch

    from finetune_trainer.ranks.attention.varlen import attend

    torch.manual_seed(0)
    given = [
        torch.randn(1, number, sum(LENGTHS), size, requires_grad=True)
        for number in (heads, groups, groups)
    ]
    exact = [each.detach().double().requires_grad_() for each in given]
    module = torch.nn.Module()
    module.num_key_value_groups = heads // groups
    borders = torch.tensor([0, *LENGTHS]).cumsum(0).to(torch.int32)

    found, _ = attend(
        module, *given, None, scaling=0.2, sliding_window=window, cu_seq_lens_q=borders,
        max_length_q=max(LENGTHS),
    )  # fmt: skip
    wanted = by_hand(*exact, LENGTHS, window=window, scale=0.2)
    weights = torch.randn_like(found)
    found.backward(weights)
    wanted.backward(weights.double())

    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-5)
    for one, other in zip(given, exact, strict=True):
        torch.testing.assert_close(one.grad.double(), other.grad, rtol=1e-4, atol=1e-4)


def played_kernel(query: Any, key: Any, value: Any, borders: Any, *rest: Any, **how: Any) -> Any:
    """A fake of torch's kernel, from its documentation: tokens before heads, the window as the
    visible tokens to the left and to the right.
    """
    import torch

    assert torch.equal(borders, rest[0])
    assert rest[1:] == (max(LENGTHS), max(LENGTHS))
    assert how["enable_gqa"] is (query.shape[1] != key.shape[1])
    left, right = how["window_size"]
    assert right == 0
    flat = (each.transpose(0, 1)[None] for each in (query, key, value))
    window = None if left == -1 else left + 1
    return by_hand(*flat, borders.diff().tolist(), window=window, scale=how["scale"])[0]


@pytest.mark.parametrize("window", [None, 1, 4])
def test_the_kernel_receives_what_its_documentation_requires(window: int | None) -> None:
    import torch
    from torch.nn.attention.varlen import varlen_attn

    from finetune_trainer.ranks.attention import varlen

    torch.manual_seed(0)
    tensors = [torch.randn(1, number, sum(LENGTHS), 16).double() for number in (6, 2, 2)]
    borders = torch.tensor([0, *LENGTHS]).cumsum(0).to(torch.int32)
    kernel = mock.create_autospec(varlen_attn, side_effect=played_kernel)
    with mock.patch.object(varlen, "_kernel_for", return_value=kernel):
        found, _ = varlen.attend(
            torch.nn.Module(), *tensors, None, scaling=0.3, sliding_window=window,
            cu_seq_lens_q=borders, max_length_q=max(LENGTHS),
        )  # fmt: skip

    assert kernel.call_count == 1
    torch.testing.assert_close(found, by_hand(*tensors, LENGTHS, window=window, scale=0.3))


def a_model(kind: str, **sizes: Any) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    small = {
        "vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 128,
        "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1,
    }  # fmt: skip
    config = AutoConfig.for_model(kind, **{**small, **sizes})
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config)


def a_batch(lengths: Sequence[int] = LENGTHS) -> dict[str, Any]:
    """The batch of TRL's own collator for these rows."""
    import torch
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    drawn = torch.Generator().manual_seed(1)
    rows = [torch.randint(3, 97, (n,), generator=drawn).tolist() for n in lengths]
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    return dict(collate([{"input_ids": row} for row in rows]))


def arguments(**given: Any) -> Any:
    from trl import SFTConfig

    usual = {"output_dir": "nowhere", "use_cpu": True, "bf16": False, "report_to": "none"}
    return SFTConfig(**{**usual, "packing": True, **given})


def loss_and_gradients(model: Any, batch: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    from finetune_trainer.ranks.attention.batch import flat_batch

    model.zero_grad()
    with flat_batch(is_flat="cu_seq_lens_q" in batch):
        loss = model(**batch, use_cache=False).loss
    loss.backward()  # Outside: recomputation has the borders, but no batch.
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return float(loss.detach()), {name: grad.clone() for name, grad in grads.items()}


@pytest.mark.parametrize("recomputes", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_packed_rows_have_the_losses_and_gradients_of_a_mask_in_every_architecture(
    kind: str, recomputes: bool
) -> None:
    import torch

    from finetune_spec.attention import VARLEN
    from finetune_trainer.ranks.attention import varlen
    from finetune_trainer.ranks.attention.choice import settle_attention

    model, batch = a_model(kind, **ARCHITECTURES[kind]).train(), a_batch()
    if recomputes:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    masked = loss_and_gradients(model, batch)

    with mock.patch.object(varlen, "sdpa_mask", side_effect=AssertionError("a mask was made")):
        assert settle_attention(model, arguments(), "flash_attention_2").name == VARLEN
        flat = loss_and_gradients(model, batch)

    assert flat[0] == pytest.approx(masked[0], rel=1e-5)
    assert flat[1].keys() == masked[1].keys()
    for name, gradient in flat[1].items():
        torch.testing.assert_close(gradient, masked[1][name], rtol=1e-3, atol=1e-5, msg=name)


def settled(model: Any) -> Any:
    from finetune_trainer.ranks.attention.choice import settle_attention

    settle_attention(model, arguments(), None)
    return model.eval()


def in_both(compute: Callable[[Any], Any], kind: str = "mistral") -> tuple[Any, Any]:
    """The results of the same model with a mask, and after its attention was selected."""
    import torch

    with torch.no_grad():
        masked = compute(a_model(kind, **ARCHITECTURES[kind]).eval())
        return masked, compute(settled(a_model(kind, **ARCHITECTURES[kind])))


def test_padded_rows_are_computed_as_with_sdpa() -> None:
    import torch

    tokens = torch.randint(3, 97, (3, 30), generator=torch.Generator().manual_seed(2))
    mask = torch.ones_like(tokens)
    mask[1, 12:] = 0
    mask[2, 1:] = 0

    masked, flat = in_both(lambda model: model(input_ids=tokens, attention_mask=mask).logits)

    assert torch.equal(masked, flat)


def test_a_row_without_mask_or_boundaries_keeps_its_window() -> None:
    import torch

    tokens = torch.randint(3, 97, (1, 30), generator=torch.Generator().manual_seed(2))

    masked, flat = in_both(lambda model: model(input_ids=tokens).logits)

    assert torch.equal(masked, flat)


@pytest.mark.parametrize("kind", ["llama", "mistral", "gemma3_text"])
def test_answers_are_generated_as_with_sdpa(kind: str) -> None:
    import torch

    tokens = torch.randint(3, 97, (2, 12), generator=torch.Generator().manual_seed(2))
    mask = torch.ones_like(tokens)
    mask[0, :5] = 0
    options = {"max_new_tokens": 12, "do_sample": False}

    masked, flat = in_both(
        lambda model: model.generate(tokens, attention_mask=mask, **options), kind
    )

    assert torch.equal(masked, flat)


def test_attention_dropout_is_applied() -> None:
    import torch

    from finetune_trainer.ranks.attention.batch import flat_batch

    model = settled(a_model("llama", attention_dropout=0.5))
    batch = a_batch()
    with torch.no_grad(), flat_batch(is_flat=True):
        still = [model.eval()(**batch).loss for _ in range(2)]
        shaken = [model.train()(**batch).loss for _ in range(2)]

    assert still[0] == still[1]
    assert shaken[0] != shaken[1]


def test_autocast_computes_in_its_own_precision() -> None:
    import torch

    from finetune_trainer.ranks.attention.varlen import attend

    module = torch.nn.Module()
    query, key, value = (torch.randn(1, 2, 8, 16) for _ in range(3))
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = attend(
            module, query, key.bfloat16(), value, None, cu_seq_lens_q=torch.tensor([0, 3, 8])
        )

    assert found.dtype == torch.bfloat16


@pytest.mark.parametrize("strange", ["softcap", "s_aux", "position_bias"])
def test_an_unsupported_feature_is_an_error_and_not_another_loss(strange: str) -> None:
    import torch

    from finetune_trainer.ranks.attention.varlen import attend

    tensors = [torch.randn(1, 2, 8, 16) for _ in range(3)]
    with pytest.raises(RuntimeError, match=f"uses {strange}: set attn_implementation to eager"):
        attend(
            torch.nn.Module(), *tensors, None, cu_seq_lens_q=torch.tensor([0, 8]), **{strange: 1.0}
        )


def test_a_model_that_drops_the_boundaries_is_an_error_and_not_another_loss() -> None:
    import torch

    from finetune_trainer.ranks.attention.batch import flat_batch
    from finetune_trainer.ranks.attention.varlen import attend

    tensors = [torch.randn(1, 2, 8, 16) for _ in range(3)]
    with (
        flat_batch(is_flat=True),
        pytest.raises(RuntimeError, match="does not receive the boundaries"),
    ):
        attend(torch.nn.Module(), *tensors, None)


def test_a_published_config_does_not_name_our_attention(tmp_path: Any) -> None:
    settled(a_model("llama")).save_pretrained(tmp_path)

    assert "torch_varlen" not in (tmp_path / "config.json").read_text()


@pytest.mark.parametrize(
    ("size", "capability", "takes"),
    [
        (64, (8, 0), True),
        (256, (9, 0), True),
        (256, (8, 9), True),
        (200, (8, 6), False),
        (200, (9, 0), True),
        (264, (9, 0), False),
        (20, (9, 0), False),
        (64, (7, 5), False),
        (128, (12, 0), True),
    ],
)
def test_the_kernels_receive_only_supported_head_sizes(
    size: int, capability: tuple[int, int], takes: bool
) -> None:
    from finetune_trainer.ranks.attention.varlen import takes_heads

    assert takes_heads(size, capability) is takes
