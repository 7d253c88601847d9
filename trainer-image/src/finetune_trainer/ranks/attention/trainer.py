# SPDX-License-Identifier: Apache-2.0
"""TRL's trainer, which marks flat batches."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from trl import SFTTrainer

from finetune_trainer.ranks.attention.batch import flat_batch

BORDERS = "cu_seq_lens_q"
"""TRL's collator returns it only with flat rows."""


class FlatTrainer(SFTTrainer):
    """In training and evaluation only: the computations of a callback use a mask."""

    def compute_loss(self, model: Any, inputs: Mapping[str, Any], *rest: Any, **named: Any) -> Any:
        with _batch_of(inputs):
            return super().compute_loss(model, inputs, *rest, **named)

    def training_step(self, model: Any, inputs: Mapping[str, Any], *rest: Any, **named: Any) -> Any:
        """Includes the backward pass: recomputed layers may create their masks again."""
        with _batch_of(inputs):
            return super().training_step(model, inputs, *rest, **named)


def _batch_of(inputs: Mapping[str, Any]) -> AbstractContextManager[None]:
    return flat_batch(is_flat=BORDERS in inputs, borders=inputs.get(BORDERS))
