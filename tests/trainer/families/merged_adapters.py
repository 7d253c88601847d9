# SPDX-License-Identifier: Apache-2.0
"""Whether a model that an adapter was merged into computes what base and adapter compute, once it
has been saved and loaded, in an architecture."""

import warnings
from enum import StrEnum
from pathlib import Path
from typing import Any

from trainer.families.packed_rows import NotBuilt
from trainer.families.small import a_model

_NOISE = 1e-4


class Merged(StrEnum):
    SAME = "same"
    OTHER = "other"
    FAILED = "failed"


def measure(model_type: str, place: Path) -> tuple[Merged, str]:
    """
    Raises:
        NotBuilt: there is nothing to measure.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    tokens = torch.arange(3, 15)[None]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            model = a_model(model_type)
            base = model(input_ids=tokens, use_cache=False).logits
        except Exception as error:
            raise NotBuilt(f"{model_type}: {type(error).__name__}: {error}") from error
        kind = type(model)
        try:
            adapted = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear"))
            drawn = torch.Generator().manual_seed(2)
            for name, each in adapted.named_parameters():
                if "lora_B" in name:
                    each.copy_(0.05 * torch.randn(each.shape, generator=drawn))
            together = adapted(input_ids=tokens, use_cache=False).logits
            adapted.merge_and_unload().save_pretrained(place)
            alone = kind.from_pretrained(place, dtype=torch.float64).eval()
            _without_grouped_products(alone)
            merged = alone(input_ids=tokens, use_cache=False).logits
        except Exception as error:  # noqa: BLE001 - whatever PEFT or transformers can't do
            return Merged.FAILED, f"{type(error).__name__}: {error}"
    assert (together - base).abs().max() > 1e-3 * base.abs().max()
    is_same = (merged - together).abs().max() <= _NOISE * together.abs().max()
    return (Merged.SAME if is_same else Merged.OTHER), ""


def _without_grouped_products(model: Any) -> None:
    import contextlib

    with contextlib.suppress(AttributeError, ValueError):
        model.set_experts_implementation("eager")
