# SPDX-License-Identifier: Apache-2.0
"""Answers of a sharded model, whose processes compute each token together.

All processes use the scores and the clock of the first one. Otherwise GPUs with different rounding
would end an answer at different tokens, and some would wait for others forever.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.fsdp import FSDPModule
from transformers import LogitsProcessor


class SameScores(LogitsProcessor):
    """Replaces the scores of the next token by those of the first process."""

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        del input_ids
        scores = scores.contiguous()
        dist.broadcast(scores, src=0)
        return scores


def agree(value: bool, device: torch.device) -> bool:
    """The first process's value."""
    told = torch.tensor(value, device=device)
    dist.broadcast(told, src=0)
    return bool(told)


@contextmanager
def root_gathered(model: Any) -> Iterator[None]:
    """Gathers the outermost part of the model, such as embeddings and head, which FSDP2 shards.

    PEFT's `generate` calls the inner model directly, and so bypasses the code that would gather it.
    """
    if not isinstance(model, FSDPModule):
        yield
        return
    model.unshard()
    try:
        yield
    finally:
        model.reshard()
