# SPDX-License-Identifier: Apache-2.0
"""Checks `num_layers_unfrozen` in an architecture: the last layers, the norm after them and the
head are trained, and training must not change the input of the last layer.

Gradients, not names, show which parameters are before the last layer and which are after it.
"""

import warnings
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import Any

from finetune_trainer.failures.errors import AttemptFailed
from trainer.families.packed_rows import NotBuilt
from trainer.families.small import a_model


class Frozen(StrEnum):
    EXACT = "exact"
    WITHOUT_NORM = "without_norm"
    """The last layer, and a norm behind it that stays frozen."""
    MOVED = "moved"
    """The input of the last layer changes."""
    INCOMPLETE = "incomplete"
    """Part of the last layer, or the head, is left frozen."""
    REFUSED = "refused"
    """With a message for the user."""


def measure(model_type: str) -> Frozen:
    """
    Raises:
        NotBuilt: there is nothing to measure.
    """
    import torch

    from finetune_trainer.ranks.model.freezing import freeze_all_but_last, layers_of

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = a_model(model_type)
            with torch.no_grad():
                model(input_ids=_tokens(), use_cache=False)
        except Exception as error:
            raise NotBuilt(f"{model_type}: {type(error).__name__}: {error}") from error
        try:
            freeze_all_but_last(model, 1)
        except AttemptFailed:
            return Frozen.REFUSED
        trained = {name for name, it in model.named_parameters() if it.requires_grad}
        assert trained
        behind = _behind(model, layers_of(model)[-1])
        if _moves(model, layers_of(model)[-1], trained):
            return Frozen.MOVED
    missing = _last_parts(model, layers_of(model)[-1]) & behind - trained
    if missing:
        return Frozen.INCOMPLETE
    return Frozen.WITHOUT_NORM if _norms(model) & behind - trained else Frozen.EXACT


def _tokens() -> Any:
    import torch

    return torch.arange(3, 15)[None]


def _moves(model: Any, last: Any, trained: AbstractSet[str]) -> bool:
    """Whether the input of the last layer differs after these parameters have changed."""
    import torch

    with torch.no_grad():
        before = _passed(model, last)[0]
        for name, each in model.named_parameters():
            if name in trained:
                each += 1
        return not torch.equal(before, _passed(model, last)[0])


def _behind(model: Any, last: Any) -> AbstractSet[str]:
    """The parameters that affect the output of the model, but not the input of the last
    layer."""
    import torch

    model.requires_grad_(True)
    given, logits = _passed(model, last)
    drawn = torch.Generator().manual_seed(3)
    found = []
    for value in (given, logits):
        model.zero_grad(set_to_none=True)
        weights = torch.randn(value.shape, generator=drawn, dtype=value.dtype)
        (value * weights).sum().backward(retain_graph=True)
        found.append(
            {n for n, it in model.named_parameters() if it.grad is not None and it.grad.any()}
        )
    return found[1] - found[0]


def _passed(model: Any, last: Any) -> tuple[Any, Any]:
    """The input of this layer, and the output of the model."""
    seen = []

    def keep(module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen.append((given[0] if given else named["hidden_states"]).clone())

    hook = last.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        logits = model(input_ids=_tokens(), use_cache=False).logits
    finally:
        hook.remove()
    return seen[-1], logits


def _last_parts(model: Any, last: Any) -> AbstractSet[str]:
    """The last layer, and the head where it is not the embedding."""
    from finetune_trainer.ranks.model.freezing import is_tied

    head = model.get_output_embeddings()
    parts = [last] if head is None or is_tied(model) else [last, head]
    wanted = {id(each) for part in parts for each in part.parameters()}
    return {name for name, it in model.named_parameters() if id(it) in wanted}


def _norms(model: Any) -> AbstractSet[str]:
    """The parts next to or around the layers, outside of any list."""
    from torch import nn

    found: set[str] = set()

    def walk(module: Any, path: str) -> None:
        for name, child in module.named_children():
            if isinstance(child, nn.ModuleList):
                continue
            if "norm" in type(child).__name__.lower():
                found.update(f"{path}{name}.{each}" for each, _ in child.named_parameters())
            walk(child, f"{path}{name}.")

    walk(model, "")
    return found
