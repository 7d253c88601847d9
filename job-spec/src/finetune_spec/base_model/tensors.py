# SPDX-License-Identifier: Apache-2.0
"""The tensors in the headers of a model's files: wrapped, missing and misshapen ones. No I/O here.

transformers initializes missing tensors at random and ignores tensors without a place in the
architecture: a base whose names all have a prefix is trained from scratch. The expected tensors are
known for the families of `memory.families`; for others transformers reports them after loading.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from finetune_contract.reasons import Reason
from finetune_spec.base_model.damage import Damage, listed
from finetune_spec.base_model.quantized import method_of
from finetune_spec.memory import Architecture, UnreadableModel, parse_model
from finetune_spec.memory.adapter import EMBEDDINGS

Shapes = Mapping[str, tuple[int, ...]]

_MATRIX = re.compile(r"(.+)\.q?weight")
_IN_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d{1,6})\.(.+)")
_HEADS = ("lm_head.weight", "embed_out.weight")

_WRAPPERS: Mapping[str, str] = {
    "_orig_mod": "torch.compile: save model._orig_mod instead",
    "_fsdp_wrapped_module": "FSDP: save the full state dict of the model inside",
    "_checkpoint_wrapped_module": "activation checkpointing: save the model inside",
    "base_layer": "PEFT, with the adapter in it: save what merge_and_unload() returns",
}
"""A part of a tensor's name -> the wrapper that the model was saved in."""

_PREFIXES: Mapping[str, str] = {
    "module.": "DataParallel: save model.module instead",
    "base_model.model.": "PEFT: save what merge_and_unload() returns",
}
"""The same for prefixes of all names."""


def find_damage(
    names: Collection[str], rows: int | None, config: Mapping[str, Any]
) -> Damage | None:
    """Why a model with these tensors would not be trained from its saved weights. `rows` are those
    of the embedding, if known.
    """
    return _wrapped(names) or _unfit(names, rows, config)


def modules_in(shapes: Shapes) -> tuple[str, ...]:
    """The names of the modules that have a matrix."""
    found = (_MATRIX.fullmatch(name) for name, shape in shapes.items() if len(shape) > 1)
    return tuple(match[1] for match in found if match is not None)


def embedding_rows(shapes: Shapes) -> int | None:
    """The number of tokens that the embedding has rows for; None if it is not among these
    tensors.
    """
    rows = [shape[0] for name, shape in shapes.items() if len(shape) == 2 and is_embedding(name)]
    return rows[0] if len(rows) == 1 else None


def is_embedding(name: str) -> bool:
    return name.endswith(tuple(f"{each}.weight" for each in EMBEDDINGS))


def _wrapped(names: Collection[str]) -> Damage | None:
    for part, words in _WRAPPERS.items():
        wrapped = [name for name in names if part in name.split(".")]
        if wrapped:
            return _saved_wrapped(wrapped, part, words)
    for prefix, words in _PREFIXES.items():
        if all(name.startswith(prefix) for name in names):
            return _saved_wrapped(list(names), prefix.rstrip("."), words)
    return None


def _saved_wrapped(names: list[str], part: str, words: str) -> Damage:
    wrapper, _, remedy = words.partition(": ")
    return Damage(
        reason=Reason.MODEL_DAMAGED,
        message=f"the names of {len(names)} of the model's tensors contain {part}, such as "
        f"{min(names):.100}: the model was saved wrapped in {wrapper}, and these tensors "
        "would be skipped and initialized randomly",
        remedy=f"{remedy}, and upload the directory again",
    )


def _unfit(names: Collection[str], rows: int | None, config: Mapping[str, Any]) -> Damage | None:
    """Only for a known text family whose files are not quantized."""
    if isinstance(config.get("text_config"), Mapping) or method_of(config) is not None:
        return None
    try:
        model = parse_model(config)
    except UnreadableModel:
        return None
    if not model.is_known:
        return None
    missing = [*_missing(names, model)]
    if missing:
        plural = "s" * (len(missing) > 1)
        return Damage(
            reason=Reason.MODEL_DAMAGED,
            message=f"the model's files lack {len(missing)} tensor{plural} ({listed(missing)}): "
            "they would be initialized randomly",
            remedy="upload the complete model as save_pretrained writes it, with all layers and "
            "the language modeling head",
        )
    if rows is None or rows == model.vocabulary:
        return None
    return Damage(
        reason=Reason.MODEL_DAMAGED,
        message=f"the model's embedding has {rows} rows, but vocab_size in config.json is "
        f"{model.vocabulary}",
        remedy="save the model again after resize_token_embeddings, so that its config.json "
        "matches",
    )


def _missing(names: Collection[str], model: Architecture) -> Iterator[str]:
    """Compares the ends of the names: the part before `layers` differs between releases."""
    there = {
        (int(match[1]), match[2]) for name in names if (match := _IN_LAYER.search(name)) is not None
    }
    if not any(is_embedding(name) for name in names):
        yield "the embedding"
    for number in range(model.layers):
        for linear in model.linears:
            if (number, f"{linear.name}.weight") not in there:
                yield f"{model.layer_of(number, linear)}.weight"
    if model.head and not any(name.endswith(_HEADS) for name in names):
        yield "lm_head.weight"
