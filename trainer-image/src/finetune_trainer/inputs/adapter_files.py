# SPDX-License-Identifier: Apache-2.0
"""Reads an adapter that is named in place of a model, at any location. No torch here.

Its files are untrusted: each read is bounded, and PEFT only gets the options that were checked.
"""

import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from finetune_contract.documents import InvalidDocument, parse_object
from finetune_contract.reasons import Reason
from finetune_spec.base_model.adapters import (
    PICKLED,
    WEIGHTS,
    Adapter,
    UnusableAdapter,
    parse_adapter,
    peft_options,
)
from finetune_spec.base_model.damage import Damage, listed
from finetune_spec.base_model.files import ADAPTER_CONFIG
from finetune_spec.config.parse.sft_config import AS_MODEL
from finetune_trainer.inputs import hub_model
from finetune_trainer.inputs.model_facts import ModelUnknown
from finetune_trainer.inputs.model_files import ModelFolder, is_pointer, read_shapes
from finetune_trainer.storage import locations, transfer
from finetune_trainer.storage.store import open_store

_LARGEST_CONFIG = 1024**2
_AGAIN = "upload the complete directory that PEFT's save_pretrained wrote"

_OTHER_FILES = ("README.md", ADAPTER_CONFIG, WEIGHTS, "config.json")
_WEIGHTS = (".bin", ".pt", ".pth", ".safetensors", ".gguf")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenAdapter:
    """The readable part of an adapter."""

    adapter: Adapter
    tensors: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Empty for an adapter on the hub that was not fetched."""


def look_at_adapter(name: str, revision: str, environment: Mapping[str, str]) -> SeenAdapter:
    """The adapter with this name in a config.

    Raises:
        UnusableAdapter: it cannot be trained.
        ModelUnknown: it cannot be read from here.
        AttemptFailed: there are no credentials for it, or no access.
    """
    if hub_model.is_on_hub(name):
        content = read_on_hub(locations.hub_name(name), revision, environment)
        return SeenAdapter(adapter=_parse(content))
    uri = name
    if not locations.is_in_store(name):
        path = (locations.path_of(name) or Path(name)).resolve()
        if not path.is_dir():
            raise ModelUnknown(f"there is no directory {path}")
        uri = path.as_uri()
    store = open_store(uri, environment)
    return transfer.ask(lambda: read_adapter(store, name), store.uri)


def read_on_hub(name: str, revision: str, environment: Mapping[str, str]) -> bytes:
    """The config of this adapter on the hub.

    Raises:
        ModelUnknown: it cannot be read from here.
    """
    try:
        return hub_model.read_small_file(name, ADAPTER_CONFIG, revision, environment)
    except (hub_model.NotCached, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        message = f"the {ADAPTER_CONFIG} of {name} cannot be read here: {reason:.200}"
        raise ModelUnknown(message) from None


def read_adapter(place: ModelFolder, name: str) -> SeenAdapter:
    """The adapter in this directory; `name` is for messages.

    Raises:
        UnusableAdapter: there is none, or it cannot be trained.
        OSError: it cannot be read.
    """
    names = place.names()
    if ADAPTER_CONFIG not in names:
        found = listed(sorted(names)) or "nothing"
        raise _unusable(
            Reason.INVALID_CONFIG,
            f"{AS_MODEL} is set, but {name} contains no adapter: there is no {ADAPTER_CONFIG}, but "
            f"{found}",
            f"remove {AS_MODEL} if it is a model, or name the directory of the adapter",
        )
    if is_pointer(place, ADAPTER_CONFIG):
        raise _unusable(
            Reason.MODEL_DAMAGED,
            f"{ADAPTER_CONFIG} is a Git LFS pointer, not the content",
            "run git lfs install and git lfs pull in the clone, and upload the directory again",
        )
    adapter = _parse(place.read_range(ADAPTER_CONFIG, 0, _LARGEST_CONFIG + 1))
    return SeenAdapter(adapter=adapter, tensors=_read_tensors(place, names))


def write_checked(seen: SeenAdapter, source: Path, target: Path) -> None:
    """Writes the adapter as PEFT and transformers load it: the checked options, its weights, and
    the files of its tokenizer.
    """
    shutil.rmtree(target, ignore_errors=True)
    link_files(source, target, skipped=_OTHER_FILES)
    (target / WEIGHTS).symlink_to((source / WEIGHTS).resolve())
    (target / ADAPTER_CONFIG).write_text(json.dumps(dict(peft_options(seen.adapter)), indent=2))


def link_files(source: Path, target: Path, skipped: Collection[str] = ()) -> None:
    """Links each file that is directly in a directory and not there yet, except models' weights."""
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.iterdir()):
        is_model = file.name.endswith(_WEIGHTS) and file.name != WEIGHTS
        if is_model or file.name.startswith(".") or file.name in skipped or not file.is_file():
            continue
        if not (target / file.name).exists():
            (target / file.name).symlink_to(file.resolve())


def _parse(content: bytes) -> Adapter:
    try:
        return parse_adapter(parse_object(content, ADAPTER_CONFIG, _LARGEST_CONFIG))
    except InvalidDocument as error:
        raise _unusable(Reason.MODEL_DAMAGED, str(error), _AGAIN) from None


def _read_tensors(place: ModelFolder, names: list[str]) -> Mapping[str, tuple[int, ...]]:
    if WEIGHTS not in names and PICKLED in names:
        raise _unusable(
            Reason.INVALID_CONFIG,
            f"the adapter's weights are in {PICKLED}, which may run code when it is loaded",
            f"save the adapter again with a newer PEFT, which writes {WEIGHTS}",
        )
    if WEIGHTS not in names:
        raise _unusable(Reason.MODEL_DAMAGED, f"the adapter's file {WEIGHTS} is missing", _AGAIN)
    try:
        return read_shapes(place, WEIGHTS)
    except ValueError as error:
        raise _unusable(Reason.MODEL_DAMAGED, f"{WEIGHTS} {error}", _AGAIN) from None


def _unusable(reason: Reason, message: str, remedy: str) -> UnusableAdapter:
    return UnusableAdapter(Damage(reason=reason, message=message, remedy=remedy))
