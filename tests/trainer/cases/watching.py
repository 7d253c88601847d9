# SPDX-License-Identifier: Apache-2.0
"""The model's input in each step, decoded: the text, and the trained part of it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from finetune_trainer.plan.exclusions import DEEPSPEED

MASKED = -100


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """A row of a batch."""

    text: str
    learnt: str
    """The tokens that count for the loss; separate pieces are joined by ` | `."""


@contextmanager
def watched() -> Iterator[list[Row]]:
    """The rows of every trained batch inside the block, in order."""
    sys.modules.setdefault(DEEPSPEED, None)  # type: ignore[arg-type]
    from finetune_trainer.ranks.building import Trainer
    from finetune_trainer.ranks.model.tokens import tokenizer_of

    rows: list[Row] = []
    step = Trainer.training_step

    def watched_step(self: Any, model: Any, inputs: Any, *more: Any, **named: Any) -> Any:
        tokenizer = tokenizer_of(self.processing_class)
        rows.extend(_rows(inputs, tokenizer))
        return step(self, model, inputs, *more, **named)

    with mock.patch.object(Trainer, "training_step", watched_step):
        yield rows


def _rows(inputs: Any, tokenizer: Any) -> Iterator[Row]:
    for place, ids in enumerate(inputs["input_ids"].tolist()):
        labels = inputs["labels"][place].tolist()
        mask = inputs.get("attention_mask")
        kept = [True] * len(ids) if mask is None else mask[place].tolist()
        shown = [token for token, is_kept in zip(ids, kept, strict=True) if is_kept]
        yield Row(
            text=tokenizer.decode(shown),
            learnt=" | ".join(tokenizer.decode(piece) for piece in _pieces(labels)),
        )


def _pieces(labels: list[int]) -> Iterator[list[int]]:
    piece: list[int] = []
    for label in [*labels, MASKED]:
        if label != MASKED:
            piece.append(label)
        elif piece:
            yield piece
            piece = []
