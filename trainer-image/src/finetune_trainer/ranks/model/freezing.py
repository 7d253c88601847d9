# SPDX-License-Identifier: Apache-2.0
"""Freezes a model except for its last layers (`num_layers_unfrozen`)."""

from collections.abc import Iterator
from typing import Any

from torch import nn

from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import attempt_failed


def freeze_all_but_last(model: Any, layers: int) -> None:
    """Trains the last layers, the norm after them and the output head; freezes everything else.

    A head with tied weights stays frozen: training it would change the input of the first layer,
    and everything before the last layers must not change.

    Raises:
        AttemptFailed: the model has fewer layers, or none that can be identified.
    """
    blocks = layers_of(model)
    if layers > len(blocks):
        raise attempt_failed(
            Reason.INVALID_CONFIG,
            f"num_layers_unfrozen: found {layers}, expected at most {len(blocks)}, the layers of "
            "the model",
            f"set num_layers_unfrozen to {len(blocks)} or less, or remove it to train all of them",
        )
    model.requires_grad_(False)
    for part in (*blocks[len(blocks) - layers :], *_last_norms(model.get_decoder())):
        part.requires_grad_(True)
    head = model.get_output_embeddings()
    if head is not None and not is_tied(model):
        head.requires_grad_(True)


def is_tied(model: Any) -> bool:
    """Whether the output head is tied to the embedding."""
    head = model.get_output_embeddings()
    return head is not None and head.weight is model.get_input_embeddings().weight


def layers_of(model: Any) -> list[nn.Module]:
    wanted = model.config.get_text_config().num_hidden_layers
    lists = [it for it in model.get_decoder().children() if isinstance(it, nn.ModuleList)]
    found = [each for each in lists if len(each) == wanted]
    # With several lists, as in XLM, a layer is spread over all of them.
    if len(found) == 1:
        return list(found[0])
    raise attempt_failed(
        Reason.INVALID_CONFIG,
        f"num_layers_unfrozen: the layers of {type(model).__name__} cannot be distinguished from "
        "its other parts",
        "remove num_layers_unfrozen, or train an adapter with use_peft: true",
    )


def _last_norms(decoder: nn.Module) -> Iterator[nn.Module]:
    """Norms next to the layers; those of embeddings, which some models have, come before them, and
    so do those of the per-layer inputs of Gemma 3n and 4.
    """
    for name, child in decoder.named_children():
        is_before = any(word in name for word in ("embed", "per_layer"))
        if "norm" in type(child).__name__.lower() and not is_before:
            yield child
