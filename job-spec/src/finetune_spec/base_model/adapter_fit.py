# SPDX-License-Identifier: Apache-2.0
"""Whether an adapter fits the config that continues it, its own file and its base model.

No I/O here. The tensors are known from the headers of the files.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from finetune_contract.reasons import Reason
from finetune_spec.base_model.adapters import Adapter, UnusableAdapter, base_named_by
from finetune_spec.base_model.damage import Damage, listed
from finetune_spec.base_model.experts import MERGED_MATRICES
from finetune_spec.base_model.kinds import type_of
from finetune_spec.base_model.tensors import Shapes
from finetune_spec.config.parse.sft_config import (
    ADAPTER_BASE,
    AS_MODEL,
    CONTINUE,
    MODEL,
    SftConfig,
)
from finetune_spec.config.problem import Problem, quoted

_HALF = re.compile(r"(?:base_model\.model\.)?(.+)\.lora_([AB])\.weight")
_PART = re.compile(r".+\.(lora_\w+|token_adapter\.trainable_tokens_\w+)(\.\w+)?")
"""The tensors of a LoRA: matrices, those of an embedding, DoRA's magnitudes, rows of tokens."""

_AGAIN = "upload the complete directory that PEFT's save_pretrained wrote"


def settings_of(adapter: Adapter, config: SftConfig) -> Mapping[str, Any]:
    """The keys that an adapter in place of a model determines: the base model, and what is trained.

    Raises:
        UnusableAdapter: its base model is unknown.
    """
    base = config[ADAPTER_BASE] or base_named_by(adapter)
    if base == config[MODEL]:
        raise UnusableAdapter(_broken(f"the adapter {base} is its own base model", _ANOTHER_BASE))
    revision = adapter.revision if base == adapter.base else None
    settings: dict[str, Any] = {MODEL: base, "model_revision": revision or "main"}
    if config[AS_MODEL] == CONTINUE:
        settings |= {"use_peft": True, **adapter.settings}
    return settings


def find_contradictions(config: SftConfig, adapter: Adapter) -> Iterator[Problem]:
    """Keys that describe another adapter than the one that is continued."""
    for key in CONTINUED_KEYS if config[AS_MODEL] == CONTINUE else ():
        own = adapter.settings.get(key)
        if not config.is_set(key) or _is_same(config[key], own):
            continue
        path = config.name(key)
        yield Problem(
            path=path,
            message=f"found {quoted(config[key])}, but {AS_MODEL}: {CONTINUE} trains an adapter "
            f"with {quoted(own)}: remove {path}, or name the base model to train a new adapter",
        )


CONTINUED_KEYS = (
    *("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "lora_target_parameters"),
    *("lora_modules_to_save", "use_rslora", "use_dora"),
)


def _is_same(written: Any, own: Any) -> bool:
    mine, theirs = _plain(written), _plain(own)
    if isinstance(mine, list) and isinstance(theirs, list):
        return sorted(map(str, mine)) == sorted(map(str, theirs))
    return bool(mine == theirs)


def _plain(value: Any) -> Any:
    """A list of one is read as a text; nothing is the same as an empty list, or as false."""
    if isinstance(value, list | tuple):
        value = value[0] if len(value) == 1 else list(value)
    return value or None


def find_misfit(
    adapter: Adapter, tensors: Shapes, base: Shapes, config: Mapping[str, Any]
) -> Damage | None:
    """Why the tensors of the adapter's file do not fit its config, or its base model.

    `base` are the base model's tensors and `config` is its config.json; empty if unknown.
    """
    halves = _halves_in(tensors)
    return _incomplete(adapter, tensors, halves) or _unfit(adapter, halves, base, config)


Halves = Mapping[str, Mapping[str, tuple[int, ...]]]
"""The shapes of `A` and `B`, by the module that they change."""


def _halves_in(tensors: Shapes) -> Halves:
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in tensors.items():
        if (match := _HALF.fullmatch(name)) is not None:
            found.setdefault(match[1], {})[match[2]] = shape
    return found


def _incomplete(adapter: Adapter, tensors: Shapes, halves: Halves) -> Damage | None:
    if not any("lora_" in name for name in tensors):
        return _broken("the adapter's file has no LoRA weights", _AGAIN)
    if lonely := sorted(name for name, found in halves.items() if len(found) < 2):
        return _broken(f"the adapter's file has only one of the two matrices of {listed(lonely)}")
    if foreign := sorted(name for name in tensors if not _belongs(name, adapter)):
        plural = "s" * (len(foreign) > 1)
        return _broken(
            f"the adapter's file has {len(foreign)} tensor{plural} that its config does not "
            f"describe ({listed(foreign)})",
            "save the adapter with save_embedding_layers=False, or merge it with PEFT and name the "
            "merged model",
        )
    return _of_another_rank(adapter, halves)


def _belongs(name: str, adapter: Adapter) -> bool:
    if _PART.fullmatch(name):
        return True
    module = name.rpartition(".")[0]
    return any(
        module == saved or module.endswith(f".{saved}")
        for saved in adapter.options.get("modules_to_save", ())
    )


def _of_another_rank(adapter: Adapter, halves: Halves) -> Damage | None:
    """PEFT reserves memory by the rank of the config before it reads a tensor."""
    if adapter.options.get("rank_pattern") or adapter.options.get("target_parameters"):
        return None
    for name, found in sorted(halves.items()):
        if found["A"][:1] != (adapter.rank,) or found["B"][1:2] != (adapter.rank,):
            return _broken(
                f"the adapter's matrices for {name:.100} have the shapes {list(found['A'])} and "
                f"{list(found['B'])}, but its config has r: {adapter.rank}"
            )
    return None


def _unfit(
    adapter: Adapter, halves: Halves, base: Shapes, config: Mapping[str, Any]
) -> Damage | None:
    """Only if the names of the base model's files are those of its modules."""
    if adapter.options.get("target_parameters") or type_of(config) in MERGED_MATRICES:
        return None
    weights = {name: base[f"{name}.weight"] for name in halves if f"{name}.weight" in base}
    if not weights:
        return None
    if missing := sorted(set(halves) - set(weights)):
        return _broken(f"the base model has no {listed(missing)}", _ANOTHER_BASE)
    for name, shape in sorted(weights.items()):
        sizes = (halves[name]["B"][0], halves[name]["A"][1]) if _are_matrices(halves[name]) else ()
        if len(shape) == 2 and sizes and sorted(shape) != sorted(sizes):
            return _broken(
                f"the adapter's matrices for {name:.100} change a weight of {list(sizes)}, but the "
                f"base model's has {list(shape)}",
                _ANOTHER_BASE,
            )
    return None


_ANOTHER_BASE = f"set {ADAPTER_BASE} to the model that the adapter was trained on"


def _are_matrices(found: Mapping[str, tuple[int, ...]]) -> bool:
    return all(len(shape) == 2 for shape in found.values())


def _broken(message: str, remedy: str = _AGAIN) -> Damage:
    return Damage(reason=Reason.MODEL_DAMAGED, message=message, remedy=remedy)
