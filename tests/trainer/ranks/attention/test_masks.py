# SPDX-License-Identifier: Apache-2.0
"""Masks, and borders, reach architectures that pass on neither positions nor borders: a pack trains
the same as its separate rows.
"""

from typing import Any

import pytest

from trainer.families.small import a_model

pytestmark = pytest.mark.slow  # Importing torch takes a quarter of a minute.

LENGTHS = (5, 1, 23, 17)


def rows() -> list[Any]:
    import torch

    drawn = torch.Generator().manual_seed(1)
    return [torch.randint(3, 90, (length,), generator=drawn) for length in LENGTHS]


def gradients(model: Any, logits: Any) -> dict[str, Any]:
    """The gradients of a sum in which every logit has a different weight."""
    import torch

    drawn = torch.Generator().manual_seed(2)
    (logits * torch.randn(logits.shape, generator=drawn, dtype=logits.dtype)).sum().backward()
    found = {name: it.grad for name, it in model.named_parameters() if it.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize("recomputes", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("kind", ["gpt_oss", "falcon", "bloom", "mpt", "nemotron", "llama"])
def test_gradients_of_packed_rows_equal_those_of_the_rows_alone(
    kind: str, recomputes: bool
) -> None:
    import torch
    from trl import SFTConfig
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    from finetune_trainer.ranks.attention.batch import flat_batch
    from finetune_trainer.ranks.attention.choice import settle_attention

    model = a_model(kind).train()
    if recomputes:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    single = [model(input_ids=row[None], use_cache=False).logits[0] for row in rows()]
    alone = gradients(model, torch.cat(single))

    usual = {"output_dir": "nowhere", "use_cpu": True, "bf16": False, "report_to": "none"}
    settle_attention(model, SFTConfig(packing=True, **usual), None)
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    batch = dict(collate([{"input_ids": row.tolist()} for row in rows()]))
    del batch["labels"]
    with flat_batch(is_flat=True, borders=batch["cu_seq_lens_q"]):
        packed = gradients(model, model(**batch, use_cache=False).logits[0])

    assert packed.keys() == alone.keys()
    for name, gradient in packed.items():
        torch.testing.assert_close(gradient, alone[name], rtol=1e-4, atol=1e-4, msg=name)


def test_other_batches_have_the_masks_of_transformers() -> None:
    import torch
    from transformers.masking_utils import AttentionMaskInterface, eager_mask

    from finetune_trainer.ranks.attention.batch import flat_batch
    from finetune_trainer.ranks.attention.masks import register_masks

    register_masks()
    made = AttentionMaskInterface()["eager"]
    how = {"batch_size": 1, "q_length": 6, "kv_length": 6}
    padded = {**how, "attention_mask": torch.tensor([[True] * 4 + [False] * 2])}
    borders = torch.tensor([0, 2, 6])

    assert torch.equal(made(**how), eager_mask(**how))
    with flat_batch(is_flat=True, borders=borders):
        for other in (padded, {**how, "batch_size": 2}, {**how, "q_length": 5, "kv_length": 5}):
            assert torch.equal(made(**other), eager_mask(**other))
        assert not torch.equal(made(**how), eager_mask(**how))
    assert torch.equal(made(**how), eager_mask(**how))
