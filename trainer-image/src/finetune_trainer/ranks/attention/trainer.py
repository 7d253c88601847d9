# SPDX-License-Identifier: Apache-2.0
"""TRL's trainer, which says when a batch is flat."""

from collections.abc import Mapping
from typing import Any

from trl import SFTTrainer

from finetune_trainer.ranks.attention.varlen import flat_batch

BORDERS = "cu_seq_lens_q"
"""TRL's collator gives them with flat rows, and with no others."""


class FlatTrainer(SFTTrainer):
    """In training and evaluation alike, and nowhere else: what a callback computes has a mask."""

    def compute_loss(self, model: Any, inputs: Mapping[str, Any], *rest: Any, **named: Any) -> Any:
        with flat_batch(is_flat=BORDERS in inputs):
            return super().compute_loss(model, inputs, *rest, **named)
