# SPDX-License-Identifier: Apache-2.0
"""The modules that an adapter targets, and whether the model has them. No I/O here.

The modules are known for the families of `memory.families`, and for any model whose tensors are
listed in the headers of its files.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from finetune_spec.base_model.experts import MERGED_MATRICES
from finetune_spec.base_model.kinds import type_of
from finetune_spec.base_model.mamba import targets_for
from finetune_spec.base_model.named_targets import KEY
from finetune_spec.config.parse.sft_config import AS_MODEL, CONTINUE, SftConfig
from finetune_spec.config.problem import Problem, did_you_mean, quoted, warning
from finetune_spec.memory import Architecture, UnreadableModel, parse_model
from finetune_spec.memory.adapter import (
    DEFAULT_EXPRESSIONS,
    DEFAULT_TARGETS,
    EMBEDDINGS,
    find_targets,
)
from finetune_spec.memory.strategy import read_strategy

_NUMBER = re.compile(r"(?<=\.)\d{1,6}(?=\.)")
"""The number of a layer or an expert."""
_MOST_NAMED = 12
_MOST_CHECKED = 500


def check_default_targets(config: SftConfig, model: Mapping[str, Any]) -> Iterator[Problem]:
    """PEFT raises after the model is loaded; `plan` would count an adapter without parameters."""
    model_type = type_of(model)
    if not config["use_peft"] or config[KEY] or config["lora_target_parameters"]:
        return
    if not model_type or has_defaults(model_type):
        return
    if config[AS_MODEL] == CONTINUE:
        return  # The adapter names its own, and it is not known yet.
    yield Problem(
        path=config.name("use_peft"),
        message=f"found true without {KEY}, but PEFT has no default targets for models of type "
        f"{quoted(model_type)}: set {KEY}: {targets_for(model_type)}",
    )


def has_defaults(model_type: str) -> bool:
    """Whether PEFT has default targets for such a model."""
    # A mixture's config is converted before the defaults are looked up, to one with no targets.
    is_known = model_type in DEFAULT_TARGETS or model_type in DEFAULT_EXPRESSIONS
    return is_known and model_type not in MERGED_MATRICES


def check_named_targets(
    config: SftConfig, model: Mapping[str, Any], modules: Collection[str]
) -> Iterator[Problem]:
    """PEFT raises if no target exists, and silently ignores single missing ones.

    `modules` are the names of the matrices in the model's files; empty if unknown.
    """
    if not config["use_peft"] or not config[KEY] or type_of(model) in MERGED_MATRICES:
        return
    architecture = _known_architecture(model)
    if isinstance(config[KEY], str):
        yield from _check_expression(config, architecture)
        return
    targets: Sequence[str] = config[KEY][:_MOST_CHECKED]
    there = _names(architecture, modules)
    if not there or len(targets) == 1:
        # A list of one is an expression, whose form is checked without a model.
        return
    missing = [target for target in targets if not _is_there(target, there)]
    if not missing:
        return
    last = _last_parts(there)
    if len(missing) == len(targets):
        yield Problem(
            path=config.name(KEY),
            message=f"the model has none of {_listed(missing)}: it has {_listed(last)}; all-linear "
            "targets every linear layer",
        )
        return
    for target in missing:
        hint = did_you_mean(target, last) or f": it has {_listed(last)}"
        yield warning(
            config.name(KEY), f"the model has no {target:.80}, so this target has no effect{hint}"
        )


def check_tied_embeddings(config: SftConfig, model: Mapping[str, Any]) -> Iterator[Problem]:
    """A merge changes the embedding alone, and the head that is tied to it changes too: the result
    differs from base plus adapter.
    """
    targets = config[KEY]
    if not config["merge_adapter"] or not isinstance(targets, list) or not _is_tied(model):
        return
    named = [it for it in targets if it.rpartition(".")[2] in EMBEDDINGS]
    if named:
        yield Problem(
            path=config.name(KEY),
            message=f"found {named[0]:.80} together with merge_adapter: true, but the model's "
            "output head shares its weights with the embedding, and a merge would change both: "
            f"leave merge_adapter out, or move {named[0]:.80} to lora_modules_to_save",
        )


def without_numbers(modules: Collection[str]) -> tuple[str, ...]:
    """The different names, with 0 for every number of a layer or an expert."""
    return tuple(dict.fromkeys(_NUMBER.sub("0", name) for name in modules))


def _check_expression(config: SftConfig, model: Architecture | None) -> Iterator[Problem]:
    if model is None or model.experts is not None:
        return
    lora = read_strategy(config, model, world_size=1).lora
    if lora is None or find_targets(model, lora):
        return
    if any(name in config[KEY] for name in (*EMBEDDINGS, "lm_head")):
        return
    whole = model.layer_of(0, model.linears[0]) if model.linears else model.path
    yield Problem(
        path=config.name(KEY),
        message=f"the expression {quoted(config[KEY])} matches no module of the model, whose full "
        f"names look like {whole}: set it to all-linear, or to a list of "
        f"{_listed(_last_parts(_names(model, ())))}",
    )


def _known_architecture(model: Mapping[str, Any]) -> Architecture | None:
    """None also for a model that reads images: the names of its other parts are not known here."""
    if isinstance(model.get("text_config"), Mapping):
        return None
    try:
        found = parse_model(model)
    except UnreadableModel:
        return None
    return found if found.is_known else None


def _names(architecture: Architecture | None, modules: Collection[str]) -> Sequence[str]:
    """The complete names of the matrices, with 0 for every number; empty if unknown."""
    if modules:
        return without_numbers(modules)
    if architecture is None or architecture.experts is not None:
        return ()
    layers = [architecture.layer_of(0, linear) for linear in architecture.linears]
    return (*layers, *EMBEDDINGS)


def _is_there(target: str, names: Sequence[str]) -> bool:
    ending = "." + _NUMBER.sub("0", f".{target}.").strip(".")
    return any(f".{name}".endswith(ending) for name in names)


def _last_parts(names: Sequence[str]) -> tuple[str, ...]:
    parts = dict.fromkeys(name.rpartition(".")[2] for name in names)
    return tuple(part for part in parts if part not in (*EMBEDDINGS, "lm_head", "embed_out"))


def _listed(names: Sequence[str]) -> str:
    shown = [f"{name:.80}" for name in names[:_MOST_NAMED]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _is_tied(model: Mapping[str, Any]) -> bool:
    try:
        return parse_model(model).head == 0
    except UnreadableModel:
        return model.get("tie_word_embeddings") is True
