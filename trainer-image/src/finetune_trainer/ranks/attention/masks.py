# SPDX-License-Identifier: Apache-2.0
"""Masks that keep flat rows separate in every architecture that uses transformers' masks.

transformers itself finds the rows by their positions, which some architectures do not pass to the
code that makes their masks: gpt-oss, Falcon and OPT among them. Each row then attends to those
before it.
"""

from collections.abc import Callable
from typing import Any

import torch
from transformers.masking_utils import (
    AttentionMaskInterface,
    and_masks,
    causal_mask_function,
    eager_mask,
    packed_sequence_mask_function,
    sdpa_mask,
)

from finetune_spec.attention import EAGER, SDPA
from finetune_trainer.ranks.attention.batch import row_of_each

_BIDIRECTIONAL = "allow_is_bidirectional_skip"
"""This option is only passed for masks that are not causal."""


def register_masks() -> None:
    """Registers these masks with transformers; idempotent."""
    AttentionMaskInterface.register(SDPA, _by_borders(sdpa_mask))
    AttentionMaskInterface.register(EAGER, _by_borders(eager_mask))


def _by_borders(make: Callable[..., torch.Tensor | None]) -> Callable[..., torch.Tensor | None]:
    def made(**how: Any) -> torch.Tensor | None:
        tokens, device = how["q_length"], how.get("device", "cpu")
        is_plain = how.get("attention_mask") is None and _BIDIRECTIONAL not in how
        is_whole = how["batch_size"] == 1 and tokens == how["kv_length"]
        rows = row_of_each(tokens, device) if is_plain and is_whole else None
        if rows is None:
            return make(**how)
        seen = how.get("mask_function", causal_mask_function)
        apart = and_masks(packed_sequence_mask_function(rows[None]), seen)
        return make(**{**how, "mask_function": apart, "allow_is_causal_skip": False})

    return made
