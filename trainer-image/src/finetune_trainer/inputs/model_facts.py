# SPDX-License-Identifier: Apache-2.0
"""The facts of a model, only from its `config.json` and the headers of its safetensors files.

Nothing else of it is read, so a model of any size costs a few requests. No torch here.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finetune_contract.documents import parse_object
from finetune_contract.limits import MAX_COUNT
from finetune_spec.base_model.files import CONFIG, ModelFiles
from finetune_spec.memory import Architecture, UnreadableModel, parse_model, with_parameters
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.inputs import hub_model
from finetune_trainer.inputs.model_files import SeenFiles, look_at
from finetune_trainer.storage import locations, transfer
from finetune_trainer.storage.store import Store, open_store

log = logging.getLogger(__name__)

_LARGEST_CONFIG = 16 * 1024**2


class ModelUnknown(Exception):
    """The model cannot be read from here; the message has the reason."""

    hub_answers = False
    """Whether the reason is the hub's response, so that further requests may succeed."""


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
    """None if they could not be read."""
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
    if hub_model.is_on_hub(name):
        return _find_on_hub(locations.hub_name(name), revision, environment)
    return look_at_model(name, revision, environment).require_facts()


def look_at_model(name: str, revision: str, environment: Mapping[str, str]) -> SeenModel:
    """The model with this name in a config: its config.json and its files, as far as available.

    Raises:
        ModelUnknown: no part of it can be read from here.
    """
    if hub_model.is_on_hub(name):
        return _look_on_hub(locations.hub_name(name), revision, environment)
    try:
        if locations.is_in_store(name):
            return read_model(open_store(name, environment))
        if (path := locations.path_of(name)) is not None:
            if not path.is_dir():
                return SeenModel(unknown=f"there is no directory {path.resolve()}")
            return read_model(open_store(path.resolve().as_uri(), environment))
    except AttemptFailed as error:
        raise ModelUnknown(error.failure.message) from None
    return read_model(open_store(Path(name).resolve().as_uri(), environment))


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
    return SeenModel(facts=_counted(facts, seen), files=files)


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


def _counted(facts: ModelFacts, seen: SeenFiles | None) -> ModelFacts:
    """With the number of parameters, if all weights were read."""
    if seen is None or not seen.has_parameters:
        return facts
    is_tied = bool(facts.config.get("tie_word_embeddings"))
    return replace(facts, parameters=_count(seen.files.shapes, is_tied=is_tied))


def _look_on_hub(name: str, revision: str, environment: Mapping[str, str]) -> SeenModel:
    """Its config.json, and its files unless the hub does not send them.

    Raises:
        ModelUnknown: neither can be read.
    """
    facts, missing = None, None
    try:
        facts = _find_on_hub(name, revision, environment)
    except ModelUnknown as unknown:
        if not unknown.hub_answers:
            raise
        missing = unknown  # An adapter, or files of another format, have no config.json.
    try:
        seen = hub_model.look_at_repository(name, revision, environment)
    except OSError as error:
        if missing is not None:
            raise missing from None
        log.info("only the config.json of %s was read reason=%s", name, error)
        return SeenModel(facts=facts)
    if facts is None:
        return SeenModel(files=seen.files, unknown=str(missing))
    return SeenModel(facts=_counted(facts, seen), files=seen.files)


def _find_on_hub(name: str, revision: str, environment: Mapping[str, str]) -> ModelFacts:
    try:
        return _facts_of(hub_model.read_small_file(name, CONFIG, revision, environment))
    except hub_model.NotCached as error:
        raise ModelUnknown(str(error)) from None
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        unknown = ModelUnknown(f"the {CONFIG} of {name} cannot be read here: {reason:.200}")
        unknown.hub_answers = isinstance(error, FileNotFoundError)
        raise unknown from None


def _facts_of(content: bytes) -> ModelFacts:
    """
    Raises:
        ValueError: it is not a JSON object, or too large or too deep.
    """
    return ModelFacts(config=parse_object(content, "it", _LARGEST_CONFIG))
