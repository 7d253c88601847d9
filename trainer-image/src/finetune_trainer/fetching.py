# SPDX-License-Identifier: Apache-2.0
"""Fetches the model and the data that a config names into the work folder.

Places in an object store are downloaded, paths are used where they are, hub names are left to
transformers and datasets.
"""

import difflib
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

from finetune_trainer.failures import AttemptFailed, user_error
from finetune_trainer.stopping import StopRequest
from finetune_trainer.storage import locations, transfer
from finetune_trainer.storage.store import Store, open_store

log = logging.getLogger(__name__)

MODEL_KEY = "model_name_or_path"
MODEL_FILES = ("config.json", "adapter_config.json", "*.gguf")
"""One of these is in every folder that transformers can load."""


def fetch(
    key: str, name: str, folder: Path, environment: Mapping[str, str], stop: StopRequest
) -> Path | None:
    """Where the model or data set of this config key is now; None for a hub name.

    Raises:
        AttemptFailed: it is not there, or may not be read.
    """
    if locations.is_in_store(name):
        found = _fetch_from_store(key, name, folder, environment, stop)
    elif (path := locations.path_of(name)) is None:
        return None
    elif path.exists():
        found = path.absolute()
    else:
        neighbours = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise _not_found(key, name, neighbours)
    if key == MODEL_KEY:
        _require_model(name, found)
        return found
    return _as_folder(found, folder)


def _fetch_from_store(
    key: str, name: str, folder: Path, environment: Mapping[str, str], stop: StopRequest
) -> Path:
    store = open_store(name, environment)
    sizes = transfer.ask(store.sizes, name, stop)
    targets = {path: folder / path for path in sizes if not path.endswith("/")}
    if not targets:
        targets = {"": folder / name.rsplit("/", 1)[-1]} if _is_file(store, stop) else {}
    if not targets:
        raise _not_found(key, name, _neighbours(name, environment, stop))
    log.info("fetching %s files=%d bytes=%d", name, len(targets), sum(sizes.values()))
    transfer.download(store, targets, stop)
    return folder


def _require_model(name: str, folder: Path) -> None:
    """Seconds now instead of a quarter of a minute later, once torch is imported."""
    if not folder.is_dir() or any(any(folder.glob(pattern)) for pattern in MODEL_FILES):
        return
    found = ", ".join(sorted(entry.name for entry in folder.iterdir())[:5]) or "nothing"
    raise user_error(
        "ModelNotFound",
        f"{MODEL_KEY}: {name} holds no model: there is no config.json, but {found}",
        f"correct {MODEL_KEY}, or upload the whole folder that save_pretrained wrote",
    )


def _is_file(store: Store, stop: StopRequest) -> bool:
    try:
        transfer.ask(lambda: store.size(""), store.uri, stop)
    except FileNotFoundError:
        return False
    return True


def _as_folder(path: Path, folder: Path) -> Path:
    """`datasets` reads folders of data files, not single ones."""
    if path.is_dir():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / path.name)
    return folder


def _neighbours(name: str, environment: Mapping[str, str], stop: StopRequest) -> list[str]:
    parent = name.rstrip("/").rsplit("/", 1)[0]
    if not locations.is_in_store(parent) or parent.endswith("/"):
        return []
    try:
        return transfer.ask(open_store(parent, environment).names, parent, stop)
    except AttemptFailed:
        return []  # only a hint: the failure itself is told without it


def _not_found(key: str, name: str, neighbours: list[str]) -> AttemptFailed:
    last = name.rstrip("/").rsplit("/", 1)[-1]
    nearest = difflib.get_close_matches(last, neighbours, n=1, cutoff=0.5)
    beside = f"; beside it there is {', '.join(neighbours[:5])}" if neighbours else ""
    hint = f": did you mean {nearest[0]}?" if nearest else ""
    kind = "model" if key == MODEL_KEY else "data set"
    return user_error(
        "ModelNotFound" if kind == "model" else "DatasetNotFound",
        f"{key}: there is no {kind} at {name}{beside}",
        f"correct {key}{hint}" if hint else f"correct {key}, or upload the {kind} there",
    )
