# SPDX-License-Identifier: Apache-2.0
"""Answers of a model that is spread over the processes, which compute each token together.

What the first process finds is what all go on with: its scores and its clock. Otherwise GPUs whose
rounding differs would end an answer at different tokens, and some would wait for others for ever.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.fsdp import FSDPModule
from transformers import LogitsProcessor


class SameScores(LogitsProcessor):
    """The scores of the next token as the first process has them."""

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        del input_ids
        scores = scores.contiguous()
        dist.broadcast(scores, src=0)
        return scores


def agree(value: bool, device: torch.device) -> bool:
    """What the first process thinks."""
    told = torch.tensor(value, device=device)
    dist.broadcast(told, src=0)
    return bool(told)


@contextmanager
def root_gathered(model: Any) -> Iterator[None]:
    """What FSDP2 shards of the model's outermost part, as embeddings and head, is whole inside.

    PEFT's `generate` calls the model within its own, and so passes over what would gather it.
    """
    if not isinstance(model, FSDPModule):
        yield
        return
    model.unshard()
    try:
        yield
    finally:
        model.reshard()
