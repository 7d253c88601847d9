# SPDX-License-Identifier: Apache-2.0
"""The files of a model, and why they cannot be trained. No I/O here.

The trainer reads a directory, or a location in a store, in a few small reads: names, the first
bytes of files, the index, the headers of safetensors files. The rules apply in order, and only the
first problem is reported.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from finetune_contract.reasons import Reason
from finetune_spec.base_model import tensors
from finetune_spec.base_model.adapters import HOW_TO_TRAIN
from finetune_spec.base_model.damage import Damage, listed
from finetune_spec.base_model.kinds import is_of_another_kind
from finetune_spec.config.problem import quoted

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
SAFETENSORS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED = "pytorch_model.bin"
PICKLED_INDEX = "pytorch_model.bin.index.json"
TOKENIZER = "tokenizer.json"
SENTENCEPIECE = "tokenizer.model"

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""The beginning of a Git LFS pointer."""

LOADED = (SAFETENSORS, INDEX, PICKLED, PICKLED_INDEX)
"""Every directory that transformers loads weights from has one of these."""

_OTHER_FORMATS: Mapping[str, str] = {
    ".gguf": "GGUF, which is for inference",
    ".ggml": "GGML, which is for inference",
    ".onnx": "ONNX, which is for inference",
    ".h5": "TensorFlow's",
    ".msgpack": "Flax's",
    ".pth": "its authors' own format",
    ".pt": "its authors' own format",
    ".safetensors": "a layout other than transformers'",
}
_SHARD = re.compile(r"(model)-\d{5}-of-\d{5}\.safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """The contents that could be read; unread parts are empty."""

    names: Collection[str]
    """Names of the files and directories directly in it."""
    pointers: Collection[str] = ()
    """Files that contain a Git LFS pointer instead of their content."""
    broken: Mapping[str, str] = field(default_factory=dict)
    """Weights that cannot be read, each with its problem."""
    index: str = ""
    """The name of the index, if it could be read."""
    indexed: Collection[str] = ()
    """The files that the index names."""
    tensors: Collection[str] = ()
    """The names of all tensors, from the headers, or else from the index; empty if unknown."""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Every tensor by its name; empty if not all headers could be read."""
    embedding: tuple[int, ...] = ()
    """The shape of the embedding, if only the header of its file was read."""
    adapter_base: str | None = None
    """The base model in an adapter's config; None without an adapter."""
    added_tokens: Mapping[str, int] = field(default_factory=dict)
    """The tokenizer's added tokens, each with its id."""

    @property
    def modules(self) -> tuple[str, ...]:
        """The names of its matrices."""
        return tensors.modules_in(self.shapes)

    @property
    def embedding_rows(self) -> int | None:
        """The number of tokens that the embedding has rows for, if known."""
        if self.shapes:
            return tensors.embedding_rows(self.shapes)
        return self.embedding[0] if len(self.embedding) == 2 else None


FileRule = Callable[[ModelFiles, Mapping[str, Any]], Damage | None]


def find_damage(files: ModelFiles, config: Mapping[str, Any] | None) -> Damage | None:
    """Why these files cannot be trained; `config` is their config.json, None if unknown."""
    return next((found for rule in RULES if (found := rule(files, config or {}))), None)


def when_pointers(files: ModelFiles, config: Mapping[str, Any]) -> Damage | None:
    """A clone without Git LFS; the weights' library would report an invalid header."""
    if not files.pointers:
        return None
    names = sorted(files.pointers)
    are = "is a Git LFS pointer" if len(names) == 1 else "are Git LFS pointers"
    return Damage(
        reason=Reason.MODEL_DAMAGED,
        message=f"{listed(names)} {are}, not the content: the repository was cloned without Git "
        "LFS",
        remedy="run git lfs install and git lfs pull in the clone, and upload the directory again",
    )


def when_adapter(files: ModelFiles, config: Mapping[str, Any]) -> Damage | None:
    """Also next to a config.json: transformers would load the adapter's base instead."""
    if files.adapter_base is None:
        return None
    base = f" of {quoted(files.adapter_base)}" if files.adapter_base else ""
    return Damage(
        reason=Reason.MODEL_NOT_FOUND,
        message=f"the directory contains an adapter{base} ({ADAPTER_CONFIG}), which is not a "
        "model on its own",
        remedy=HOW_TO_TRAIN,
    )


def when_other_format(files: ModelFiles, config: Mapping[str, Any]) -> Damage | None:
    if any(name in files.names for name in LOADED) or config.get("transformers_weights"):
        return None
    if shards := [name for name in files.names if _SHARD.fullmatch(name)]:
        return Damage(
            reason=Reason.MODEL_DAMAGED,
            message=f"the model has {len(shards)} weights files such as {min(shards)}, but the "
            f"index {INDEX} is missing",
            remedy="upload the complete directory, including the index",
        )
    for ending, words in _OTHER_FORMATS.items():
        if found := sorted(name for name in files.names if name.endswith(ending)):
            return Damage(
                reason=Reason.MODEL_NOT_FOUND,
                message=f"the model's weights ({listed(found)}) are in {words} and cannot be "
                "trained",
                remedy="name the model that they were converted from, as saved by transformers "
                f"({SAFETENSORS})",
            )
    return None


def when_shards_missing(files: ModelFiles, config: Mapping[str, Any]) -> Damage | None:
    missing = sorted(name for name in files.indexed if name not in files.names)
    if not missing:
        return None
    return Damage(
        reason=Reason.MODEL_DAMAGED,
        message=f"{len(missing)} of the {len(files.indexed)} files that {files.index} names are "
        f"missing: {listed(missing)}",
        remedy="upload the complete directory again",
    )


def when_broken(files: ModelFiles, config: Mapping[str, Any]) -> Damage | None:
    for name, why in sorted(files.broken.items()):
        return Damage(
            reason=Reason.MODEL_DAMAGED,
            message=f"{name:.100} {why}",
            remedy="upload this file again",
        )
    return None


def when_tensors(files: ModelFiles, config: Mapping[str, Any]) -> Damage | None:
    # A classifier has no head by design: its kind is reported instead.
    if not files.tensors or is_of_another_kind(config):
        return None
    return tensors.find_damage(files.tensors, files.embedding_rows, config)


RULES: tuple[FileRule, ...] = (
    when_pointers,
    when_adapter,
    when_other_format,
    when_shards_missing,
    when_broken,
    when_tensors,
)
