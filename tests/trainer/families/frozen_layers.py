# SPDX-License-Identifier: Apache-2.0
"""Checks `num_layers_unfrozen` in an architecture: training must not change the input of the last
layer.
"""

import warnings
from enum import StrEnum
from typing import Any

from finetune_trainer.failures.errors import AttemptFailed
from trainer.families.packed_rows import NotBuilt
from trainer.families.small import a_model


class Frozen(StrEnum):
    KEPT = "kept"
    MOVED = "moved"
    REFUSED = "refused"
    """With a message for the user."""


def measure(model_type: str) -> Frozen:
    """
    Raises:
        NotBuilt: there is nothing to measure.
    """
    import torch

    from finetune_trainer.ranks.model.freezing import freeze_all_but_last, layers_of

    tokens = torch.arange(3, 15)[None]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            model = a_model(model_type)
            model(input_ids=tokens, use_cache=False)
        except Exception as error:
            raise NotBuilt(f"{model_type}: {type(error).__name__}: {error}") from error
        try:
            freeze_all_but_last(model, 1)
        except AttemptFailed:
            return Frozen.REFUSED
        last = layers_of(model)[-1]
        before = _input_of(last, model, tokens)
        trained = [each for each in model.parameters() if each.requires_grad]
        assert trained
        for each in trained:
            each += 1
        after = _input_of(last, model, tokens)
    return Frozen.KEPT if torch.equal(before, after) else Frozen.MOVED


def _input_of(layer: Any, model: Any, tokens: Any) -> Any:
    found = []

    def keep(module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        found.append((given[0] if given else named["hidden_states"]).clone())

    hook = layer.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        model(input_ids=tokens, use_cache=False)
    finally:
        hook.remove()
    return found[-1]
