# SPDX-License-Identifier: Apache-2.0
"""The files of a repository that transformers loads: weights come in several formats. No I/O
here.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

ADAPTER = "adapter_config.json"

_INDEX = ".index.json"
_WHOLE = (
    *("model.safetensors", "pytorch_model.bin"),
    *("adapter_model.safetensors", "adapter_model.bin"),
)
"""Names of single-file weights, in the order in which transformers and PEFT look for them, for the
model and the adapter.
"""

_WEIGHTS = re.compile(
    r"\.(safetensors|bin|pt|pth|h5|msgpack|onnx\w*|gguf|ggml|ot|ckpt|tflite|mlmodel|mlpackage|npz"
    r"|engine|nemo|tar|zip)$"
)
_ELSEWHERE = ("onnx/", "openvino/", "coreml/", "original/", "metal/")
"""Directories of other programs."""


def description_files(names: Iterable[str]) -> list[str]:
    """All files except weights: configs, the tokenizer, indexes of weights, code, the card."""
    return sorted(name for name in names if not _is_skipped(name) and not _WEIGHTS.search(name))


def weight_files(names: Iterable[str], indexes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The weights that are loaded; `indexes` has the contents of the files `*.index.json`."""
    there = {name for name in names if "/" not in name and _WEIGHTS.search(name)}
    found: set[str] = set()
    for first, second in (_WHOLE[:2], _WHOLE[2:]):
        found |= _of_format(first, there, indexes) or _of_format(second, there, indexes)
    if found:
        return sorted(found)
    # Non-standard names: a loader that supports them reads them all.
    safe = {name for name in there if name.endswith(".safetensors")}
    return sorted(safe or {name for name in there if name.endswith(".bin")})


def _of_format(whole: str, there: set[str], indexes: Mapping[str, Mapping[str, Any]]) -> set[str]:
    if whole in there:
        return {whole}
    parts = indexes.get(f"{whole}{_INDEX}", {}).get("weight_map")
    named = {str(name) for name in parts.values()} if isinstance(parts, Mapping) else set()
    return named & there


def index_files(names: Iterable[str]) -> list[str]:
    """The indexes among these."""
    return sorted({f"{name}{_INDEX}" for name in _WHOLE} & set(names))


def _is_skipped(name: str) -> bool:
    hidden = any(part.startswith(".") for part in name.split("/"))
    return hidden or name.startswith(_ELSEWHERE)
