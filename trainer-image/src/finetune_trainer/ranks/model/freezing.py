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
    parent, blocks = _stack_of(model)
    if layers > len(blocks):
        raise attempt_failed(
            Reason.INVALID_CONFIG,
            f"num_layers_unfrozen: found {layers}, expected at most {len(blocks)}, the layers of "
            "the model",
            f"set num_layers_unfrozen to {len(blocks)} or less, or remove it to train all of them",
        )
    model.requires_grad_(False)
    for part in (*blocks[len(blocks) - layers :], *_last_norms(parent)):
        part.requires_grad_(True)
    head = model.get_output_embeddings()
    if head is not None and not is_tied(model):
        head.requires_grad_(True)


def is_tied(model: Any) -> bool:
    """Whether the output head is tied to the embedding."""
    head = model.get_output_embeddings()
    return head is not None and head.weight is model.get_input_embeddings().weight


def layers_of(model: Any) -> list[nn.Module]:
    """
    Raises:
        AttemptFailed: they cannot be distinguished from other parts.
    """
    return list(_stack_of(model)[1])


def _stack_of(model: Any) -> tuple[nn.Module, nn.ModuleList]:
    """The module that the layers are in, and the layers.

    Raises:
        AttemptFailed: there is not one such list.
    """
    wanted = model.config.get_text_config().num_hidden_layers
    # Some models call the matrix of their head the decoder.
    for part in (model.get_decoder(), model.base_model):
        found = [each for each in _child_lists(part) if len(each[1]) == wanted]
        found = found or [each for each in _lists_below(part) if len(each[1]) == wanted]
        # With several lists, as in XLM, a layer is spread over all of them.
        if len(found) == 1:
            return found[0]
        if found:
            break
    raise attempt_failed(
        Reason.INVALID_CONFIG,
        f"num_layers_unfrozen: the layers of {type(model).__name__} cannot be distinguished from "
        "its other parts",
        "remove num_layers_unfrozen, or train an adapter with use_peft: true",
    )


def _child_lists(part: nn.Module) -> Iterator[tuple[nn.Module, nn.ModuleList]]:
    for child in part.children():
        if isinstance(child, nn.ModuleList):
            yield part, child


def _lists_below(part: nn.Module) -> Iterator[tuple[nn.Module, nn.ModuleList]]:
    """At any depth, except inside of layers: a layer may have as many experts."""
    yield from _child_lists(part)
    for child in part.children():
        if not isinstance(child, nn.ModuleList):
            yield from _lists_below(child)


def _last_norms(parent: nn.Module) -> Iterator[nn.Module]:
    """Norms next to the layers; those of embeddings, which some models have, come before them, and
    so do those of the per-layer inputs of Gemma 3n and 4.
    """
    for name, child in parent.named_children():
        is_before = any(word in name for word in ("embed", "per_layer"))
        if "norm" in type(child).__name__.lower() and not is_before:
            yield child
