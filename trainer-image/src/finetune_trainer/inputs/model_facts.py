# SPDX-License-Identifier: Apache-2.0
"""The facts of a model, only from its `config.json` and the headers of its safetensors files.

Nothing else of it is read, so a model of any size costs a few requests. No torch here.
"""

import math
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finetune_contract.documents import parse_object
from finetune_contract.limits import MAX_COUNT
from finetune_spec.base_model.files import CONFIG, ModelFiles
from finetune_spec.memory import Architecture, UnreadableModel, parse_model, with_parameters
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.inputs.model_files import SeenFiles, look_at
from finetune_trainer.storage import locations, transfer
from finetune_trainer.storage.store import Store, open_store

_HUB_SECONDS = 5.0
_LARGEST_CONFIG = 16 * 1024**2


class ModelUnknown(Exception):
    """The model cannot be read from here; the message has the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """The facts in a model's files."""

    config: Mapping[str, Any]
    """Its `config.json`."""
    parameters: int | None = None
    """From the files' headers; None if there were none to read."""

    def architecture(self) -> Architecture:
        """
        Raises:
            ModelUnknown: it has too little information.
        """
        try:
            model = parse_model(self.config)
        except UnreadableModel as error:
            raise ModelUnknown(str(error)) from None
        return model if self.parameters is None else with_parameters(model, self.parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenModel:
    """The readable part of a model, complete or not."""

    facts: ModelFacts | None = None
    files: ModelFiles | None = None
    """None for a model of the hub."""
    unknown: str = ""
    """Why there are no facts."""

    @property
    def config(self) -> Mapping[str, Any] | None:
        """Its `config.json`."""
        return None if self.facts is None else self.facts.config

    def require_facts(self) -> ModelFacts:
        """
        Raises:
            ModelUnknown: there is no valid config.json.
        """
        if self.facts is None:
            raise ModelUnknown(self.unknown)
        return self.facts


def find_facts(name: str, revision: str, environment: Mapping[str, str]) -> ModelFacts:
    """The facts of the model with this name in a config.

    Raises:
        ModelUnknown: it cannot be read from here.
    """
    return look_at_model(name, revision, environment).require_facts()


def look_at_model(name: str, revision: str, environment: Mapping[str, str]) -> SeenModel:
    """The model with this name in a config: its config.json and its files, as far as available.

    Raises:
        ModelUnknown: no part of it can be read from here.
    """
    try:
        if (store := store_of(name, environment)) is not None:
            return read_model(store)
    except AttemptFailed as error:
        raise ModelUnknown(error.failure.message) from None
    if (path := locations.path_of(name)) is not None:
        return SeenModel(unknown=f"there is no folder {path.resolve()}")
    return SeenModel(facts=_find_on_hub(locations.hub_name(name), revision))


def store_of(name: str, environment: Mapping[str, str]) -> Store | None:
    """The location of the model with this name in a config; None for a model of the hub, and for a
    directory that does not exist.

    Raises:
        AttemptFailed: there are no credentials for it.
    """
    if locations.is_in_store(name):
        return open_store(name, environment)
    path = locations.path_of(name)
    if path is None and locations.scheme_of(name) is None:
        path = Path(name)  # transformers looks for a directory first, too.
    if path is None or not path.is_dir():
        return None
    return open_store(path.resolve().as_uri(), environment)


def read_model(store: Store) -> SeenModel:
    """The model in the files of this store.

    Raises:
        AttemptFailed: the store cannot be read.
    """
    seen = transfer.ask(lambda: _look_at(store), store.uri)
    files = None if seen is None else seen.files
    try:
        facts = _facts_of(transfer.ask(lambda: store.read(CONFIG), store.uri))
    except FileNotFoundError:
        return SeenModel(files=files, unknown=f"there is no {CONFIG} at {store.uri}")
    except ValueError as error:
        return SeenModel(files=files, unknown=f"{CONFIG} at {store.uri} cannot be read: {error}")
    if seen is not None and seen.has_parameters:
        is_tied = bool(facts.config.get("tie_word_embeddings"))
        facts = replace(facts, parameters=_count(seen.files.shapes, is_tied=is_tied))
    return SeenModel(facts=facts, files=files)


def _look_at(store: Store) -> SeenFiles | None:
    """None if its files cannot be read one by one: fetched files are checked again."""
    try:
        return look_at(store)
    except ConnectionError:
        raise  # It may be temporary.
    except OSError:
        return None


def read_fetched_config(name: str | None, paths: Mapping[str, Path]) -> Mapping[str, Any] | None:
    """The `config.json` of a fetched model; None if it cannot be read."""
    if name is None or name not in paths:
        return None
    try:
        return _facts_of((paths[name] / CONFIG).read_bytes()).config
    except (OSError, ValueError):
        return None  # transformers will report the problem.


def _count(shapes: Mapping[str, tuple[int, ...]], *, is_tied: bool) -> int | None:
    """The number of parameters, or None if there are none, or an impossible number."""
    counted = (
        math.prod(shape)
        for name, shape in shapes.items()
        if not (is_tied and name == "lm_head.weight")
    )
    total = sum(counted)
    return total if 0 < total < MAX_COUNT else None


def _find_on_hub(name: str, revision: str) -> ModelFacts:
    content = read_on_hub(name, revision, CONFIG)
    try:
        return _facts_of(content)
    except ValueError as error:
        raise ModelUnknown(f"the {CONFIG} of {name} cannot be read here: {error}") from None


def read_on_hub(name: str, revision: str, file: str) -> bytes:
    """A small file, from the hub's cache on this machine, or with one request: the hub's own client
    retries for too long.

    Raises:
        ModelUnknown: it cannot be read from here.
    """
    # Imported late: it takes a third of a second, and models in stores and directories do not need
    # it.
    from huggingface_hub import constants, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import build_hf_headers

    try:
        cached = try_to_load_from_cache(name, file, revision=revision)
        if isinstance(cached, str):
            return Path(cached).read_bytes()
        if constants.HF_HUB_OFFLINE:
            raise ModelUnknown(f"{name} is not in the hub's cache here, and HF_HUB_OFFLINE is set")
        request = urllib.request.Request(  # noqa: S310 - the hub's own URL
            hf_hub_url(name, file, revision=revision), headers=build_hf_headers()
        )
        with urllib.request.urlopen(request, timeout=_HUB_SECONDS) as answer:  # noqa: S310
            return bytes(answer.read(_LARGEST_CONFIG))
    except (OSError, ValueError, HFValidationError) as error:
        reason = " ".join(str(error).split())
        raise ModelUnknown(f"the {file} of {name} cannot be read here: {reason:.200}") from None


def _facts_of(content: bytes) -> ModelFacts:
    """
    Raises:
        ValueError: it is not a JSON object, or too large or too deep.
    """
    return ModelFacts(config=parse_object(content, "it", _LARGEST_CONFIG))
