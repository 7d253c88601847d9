# SPDX-License-Identifier: Apache-2.0
"""What a model is, from its `config.json` and the headers of its safetensors files alone.

Nothing else of it is read, so a model of any size costs a few requests. No torch here.
"""

import math
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finetune_contract.documents import parse_object
from finetune_contract.limits import MAX_COUNT
from finetune_spec.memory import Architecture, UnreadableModel, parse_model, with_parameters
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.storage import locations, transfer
from finetune_trainer.storage.store import Store, open_store

CONFIG = "config.json"
WEIGHTS = ".safetensors"

_LENGTH_BYTES = 8
_LARGEST_HEADER = 64 * 1024**2
_MOST_DIMENSIONS = 16
_WHOLE_TYPES = ("F64", "F32", "F16", "BF16")
"""Where each number is a parameter: a quantized file packs several into one."""

_HUB_SECONDS = 5.0
_LARGEST_CONFIG = 16 * 1024**2


class ModelUnknown(Exception):
    """The model can't be looked at from here; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What the files say about a model."""

    config: Mapping[str, Any]
    """Its `config.json`."""
    parameters: int | None = None
    """As the files' headers count them; None where there were none to read."""

    def architecture(self) -> Architecture:
        """
        Raises:
            ModelUnknown: it says too little.
        """
        try:
            model = parse_model(self.config)
        except UnreadableModel as error:
            raise ModelUnknown(str(error)) from None
        return model if self.parameters is None else with_parameters(model, self.parameters)


def find_facts(name: str, revision: str, environment: Mapping[str, str]) -> ModelFacts:
    """What is known about the model of this name in a config.

    Raises:
        ModelUnknown: it can't be read from here.
    """
    try:
        if locations.is_in_store(name):
            return read_facts(open_store(name, environment))
        if (path := locations.path_of(name)) is not None:
            return read_facts(open_store(path.absolute().as_uri(), environment))
    except AttemptFailed as error:
        raise ModelUnknown(error.failure.message) from None
    if Path(name).is_dir():  # transformers looks for a folder first, too
        return read_facts(open_store(Path(name).absolute().as_uri(), environment))
    return _find_on_hub(locations.hub_name(name), revision)


def read_facts(store: Store) -> ModelFacts:
    """What the files of this folder say.

    Raises:
        ModelUnknown: there is no config.json, or it is none.
        AttemptFailed: the store can't be read.
    """
    try:
        facts = _facts_of(transfer.ask(lambda: store.read(CONFIG), store.uri))
    except FileNotFoundError:
        raise ModelUnknown(f"there is no {CONFIG} at {store.uri}") from None
    except ValueError as error:
        raise ModelUnknown(f"{CONFIG} at {store.uri} can't be read: {error}") from None
    is_tied = bool(facts.config.get("tie_word_embeddings"))
    names = sorted(name for name in transfer.ask(store.names, store.uri) if name.endswith(WEIGHTS))
    try:
        parameters = _count(_headers(store, names), is_tied=is_tied)
    except (ValueError, OSError):
        return facts  # the config alone says nearly as much
    return replace(facts, parameters=parameters)


def read_fetched_config(name: str | None, paths: Mapping[str, Path]) -> Mapping[str, Any] | None:
    """The `config.json` of a model that has been fetched; None where there is none to read."""
    if name is None or name not in paths:
        return None
    try:
        return _facts_of((paths[name] / CONFIG).read_bytes()).config
    except (OSError, ValueError):
        return None  # transformers will say what it lacks


def _headers(store: Store, names: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """The JSON at the beginning of each file: https://github.com/huggingface/safetensors#format."""
    for name in names:
        first = store.read_range(name, 0, _LENGTH_BYTES)
        length = int.from_bytes(first, "little")
        if len(first) < _LENGTH_BYTES or length > _LARGEST_HEADER:
            raise ValueError(f"{name} is not a safetensors file")
        yield parse_object(store.read_range(name, _LENGTH_BYTES, length), f"the header of {name}")


def _count(headers: Iterable[Mapping[str, Any]], *, is_tied: bool) -> int | None:
    """The parameters, or None where the files don't tell them.

    Raises:
        ValueError: a header is none.
    """
    total = 0
    for header in headers:
        for name, tensor in header.items():
            if name == "__metadata__" or (is_tied and name == "lm_head.weight"):
                continue
            shape, kind = _shape_and_type(name, tensor)
            if kind not in _WHOLE_TYPES:
                return None
            total += math.prod(shape)
    return total if 0 < total < MAX_COUNT else None


def _shape_and_type(name: str, tensor: Any) -> tuple[list[int], str]:
    """
    Raises:
        ValueError: it is no tensor's entry.
    """
    entry = tensor if isinstance(tensor, Mapping) else {}
    shape, kind = entry.get("shape"), entry.get("dtype")
    if isinstance(shape, list) and len(shape) <= _MOST_DIMENSIONS:
        sizes = [it for it in shape if type(it) is int and 0 <= it < MAX_COUNT]
        if len(sizes) == len(shape):
            return sizes, str(kind)
    raise ValueError(f"{name:.100} has no shape in its file's header")


def _find_on_hub(name: str, revision: str) -> ModelFacts:
    """From the hub's cache on this machine, or by one request: its own client tries for long."""
    # Late: it takes a third of a second, and models in stores and folders don't need it.
    from huggingface_hub import constants, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import build_hf_headers

    try:
        cached = try_to_load_from_cache(name, CONFIG, revision=revision)
        if isinstance(cached, str):
            return _facts_of(Path(cached).read_bytes())
        if constants.HF_HUB_OFFLINE:
            raise ModelUnknown(f"{name} is not in the hub's cache here, and HF_HUB_OFFLINE is set")
        request = urllib.request.Request(  # noqa: S310 - the hub's own URL
            hf_hub_url(name, CONFIG, revision=revision), headers=build_hf_headers()
        )
        with urllib.request.urlopen(request, timeout=_HUB_SECONDS) as answer:  # noqa: S310
            return _facts_of(answer.read(_LARGEST_CONFIG))
    except (OSError, ValueError, HFValidationError) as error:
        reason = " ".join(str(error).split())
        raise ModelUnknown(f"the {CONFIG} of {name} can't be read here: {reason:.200}") from None


def _facts_of(content: bytes) -> ModelFacts:
    """
    Raises:
        ValueError: it is no JSON object, or too large or too deep.
    """
    return ModelFacts(config=parse_object(content, "it", _LARGEST_CONFIG))
