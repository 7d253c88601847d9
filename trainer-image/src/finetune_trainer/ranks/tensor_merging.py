# SPDX-License-Identifier: Apache-2.0
"""Merges an adapter into a base model that does not fit into memory: tensor by tensor, from the
files of both.

It does the same as PEFT for plain LoRA and rsLoRA, with the same order of roundings, so the result
is identical to PEFT's. Other kinds of adapters are left to PEFT.
"""

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from peft import LoraConfig, PeftConfig
from peft.utils.other import get_pattern_key
from safetensors import safe_open
from safetensors.torch import save_file
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME

from finetune_contract.documents import InvalidDocument, parse_object
from finetune_trainer.exchange.heartbeats import Heart
from finetune_trainer.ranks.file_names import file_names
from finetune_trainer.ranks.soundness import TENSORS

SHARD_BYTES = 5 * 1024**3
"""The size of one file. This much is in memory at a time, and once more while it is written."""

PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"
_SHAPES_ONLY = torch.device("meta")

_BEYOND = ("use_dora", "lora_bias", "layer_replication", "target_parameters", "modules_to_save")


class CannotMerge(Exception):
    """A feature of this adapter or base model that merging by tensors does not support."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The addition of an adapter to one weight: `b @ a * scaling`."""

    a: torch.Tensor
    b: torch.Tensor
    scaling: float
    is_transposed: bool

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.b.shape[0], self.a.shape[1]
        return (columns, rows) if self.is_transposed else (rows, columns)

    def added_to(self, weight: torch.Tensor) -> torch.Tensor:
        delta = self.b.float() @ self.a.float()
        delta = (delta.T if self.is_transposed else delta) * self.scaling
        # As PEFT rounds: the change to the weight's type, then the sum.
        return weight + delta.to(weight.dtype)


def merge_by_tensors(
    base: Path, changes: Mapping[str, Change], merged: Path, dtype: torch.dtype, heart: Heart
) -> None:
    """Writes the merged weights, in files of bounded size, with an index if there are several.

    Raises:
        CannotMerge: with a reason; `merged` may then contain some files.
    """
    places = place_of_tensors(base)
    _require_places(changes, base, places)
    shapes = {name: _shape(base / file, name) for name, file in places.items()}
    drawn = {
        name: torch.empty(shape, dtype=dtype if is_floating else kind, device=_SHAPES_ONLY)
        for name, (shape, kind, is_floating) in shapes.items()
    }
    split = split_torch_state_dict_into_shards(drawn, max_shard_size=SHARD_BYTES)
    merged.mkdir(parents=True, exist_ok=True)
    for file, names in split.filename_to_tensors.items():
        tensors = {}
        for name in names:
            heart.beat(f"merging {name}")
            tensor = _read(base / places[name], name).to(drawn[name].dtype)
            tensors[name] = (
                _sound(name, changes[name].added_to(tensor), drawn[name])
                if (name in changes)
                else tensor
            )
        save_file(tensors, merged / file, metadata={"format": "pt"})
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        (merged / SAFE_WEIGHTS_INDEX_NAME).write_text(json.dumps(index, indent=2, sort_keys=True))


def changes_in(base: Path, artifact: Path, drawn: Any) -> dict[str, Change]:
    """The adapter's changes, by the name of the weight in the base model's files.

    `drawn` is the base model without its weights.

    Raises:
        CannotMerge: as in `changes_of`.
    """
    changes, places = changes_of(artifact), place_of_tensors(base)
    if all(name in places for name in changes):
        return changes
    try:
        names = file_names(drawn, places)
    except Exception as error:  # code of a model's own may do anything
        raise CannotMerge("the names of the base model's weights cannot be read") from error
    return {names.get(name, name): change for name, change in changes.items()}


def changes_of(artifact: Path) -> dict[str, Change]:
    """The adapter's changes, by the base model's name of the weight.

    Raises:
        CannotMerge: it is more than plain LoRA.
    """
    config = PeftConfig.from_pretrained(artifact)
    _require_plain(config)
    tensors = dict(_tensors(artifact))
    changes: dict[str, Change] = {}
    for name, a in tensors.items():
        if name.endswith(_B):
            continue
        module = name.removeprefix(PREFIX).removesuffix(_A)
        b = tensors.get(f"{PREFIX}{module}{_B}")
        if not name.endswith(_A) or b is None or a.dim() != 2 or b.dim() != 2:
            raise CannotMerge(f"{name} has more than LoRA's two matrices")
        changes[f"{module}.weight"] = Change(
            a=a, b=b, scaling=_scaling(config, module), is_transposed=bool(config.fan_in_fan_out)
        )
    return changes


def require_merged(
    base: Path, changes: Mapping[str, Change], merged: Path, dtype: torch.dtype
) -> None:
    """Compares the written files with the base model's: names, shapes, types, and the weights that
    differ.

    Raises:
        CannotMerge: the written files are not the base model with the adapter's changes.
    """
    before, after = place_of_tensors(base), place_of_tensors(merged)
    if set(before) != set(after):
        raise CannotMerge("the merged files do not contain the base model's tensors")
    for name, file in after.items():
        shape, kind, is_floating = _shape(merged / file, name)
        if shape != _shape(base / before[name], name)[0] or (is_floating and kind != dtype):
            raise CannotMerge(f"{name} was written with a different shape or type")
    if changes and not any(
        not torch.equal(
            _read(merged / after[name], name), _read(base / before[name], name).to(dtype)
        )
        for name in changes
    ):
        raise CannotMerge(f"the adapter's changes are too small for {dtype}: no weight differs")


def copy_code(base: Path, merged: Path) -> None:
    """A model with its own code needs that code next to its files."""
    for file in base.glob("*.py"):
        shutil.copyfile(file, merged / file.name)


def _require_plain(config: Any) -> None:
    if not isinstance(config, LoraConfig):
        raise CannotMerge(f"the adapter is {config.peft_type}, not LoRA")
    found = [name for name in _BEYOND if getattr(config, name, None)]
    if config.bias != "none":
        found.append("bias")
    if getattr(config, "trainable_token_indices", None):
        found.append("rows of new tokens")
    if found:
        raise CannotMerge(f"the adapter has {', '.join(found)}, which only PEFT can merge")


def _scaling(config: Any, module: str) -> float:
    ranks, alphas = config.rank_pattern or {}, config.alpha_pattern or {}
    rank = ranks.get(get_pattern_key(ranks.keys(), module), config.r)
    alpha = alphas.get(get_pattern_key(alphas.keys(), module), config.lora_alpha)
    return float(alpha / (math.sqrt(rank) if config.use_rslora else rank))


def _require_places(changes: Mapping[str, Change], base: Path, places: Mapping[str, str]) -> None:
    for name, change in changes.items():
        if name not in places:
            raise CannotMerge(
                f"the base model's files have no {name}: it has a different name there"
            )
        shape, _, is_floating = _shape(base / places[name], name)
        if shape != change.shape or not is_floating:
            raise CannotMerge(f"{name} of the base model's files does not match the adapter")


def place_of_tensors(folder: Path) -> dict[str, str]:
    """The file of each tensor: from the index, if there is one.

    Raises:
        CannotMerge: the index is invalid.
    """
    index = folder / SAFE_WEIGHTS_INDEX_NAME
    if index.is_file():
        return _places_in(index)
    place: dict[str, str] = {}
    for file in sorted(folder.glob(TENSORS)):
        with safe_open(file, framework="pt") as opened:
            place |= dict.fromkeys(opened.keys(), file.name)
    return place


def _places_in(index: Path) -> dict[str, str]:
    """Accepts only files next to it, because the index is untrusted."""
    try:
        found = parse_object(index.read_bytes(), index.name).get("weight_map")
    except InvalidDocument as invalid:
        raise CannotMerge(f"the base model's {invalid}") from None
    if not isinstance(found, dict):
        raise CannotMerge(f"the base model's {index.name} has no weight_map")
    for name, file in found.items():
        if not isinstance(file, str) or Path(file).name != file:
            raise CannotMerge(f"the base model's {index.name} has no file for {name:.100}")
    return found


def _shape(file: Path, name: str) -> tuple[tuple[int, ...], torch.dtype, bool]:
    with safe_open(file, framework="pt") as opened:
        part = opened.get_slice(name)
        shape = tuple(part.get_shape())
        # An empty slice, which also has the type.
        kind = part[tuple(slice(0, 0) for _ in shape)].dtype if shape else part[()].dtype
    return shape, kind, kind.is_floating_point


def _read(file: Path, name: str) -> torch.Tensor:
    with safe_open(file, framework="pt") as opened:
        tensor: torch.Tensor = opened.get_tensor(name)
    return tensor


def _tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    for name, file in place_of_tensors(folder).items():
        yield name, _read(folder / file, name)


def _sound(name: str, tensor: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    if tensor.shape != drawn.shape or not torch.isfinite(tensor).all():
        raise CannotMerge(f"{name} would contain values that are not finite")
    return tensor.contiguous()
