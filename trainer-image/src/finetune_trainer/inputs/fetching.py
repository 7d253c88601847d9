# SPDX-License-Identifier: Apache-2.0
"""Fetches the model, the chat template and the data of a config into the work directory.

Objects in a store and files on the web are downloaded, paths are used in place, hub names are left
to transformers and datasets.
"""

import difflib
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from finetune_contract.reasons import Reason
from finetune_spec.base_model.files import LFS_POINTER
from finetune_spec.config.parse.data_formats import suffix_of, unknown_file
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.inputs import chat_templates
from finetune_trainer.storage import locations, transfer, web
from finetune_trainer.storage.store import Store, open_store

log = logging.getLogger(__name__)

MODEL_KEY = "model_name_or_path"
TEMPLATE_KEY = "chat_template_path"
FILES_KEY = "data_files"
WEIGHTS = (".safetensors", ".bin", ".gguf", ".pt", ".pth", ".h5", ".msgpack", ".onnx")
"""Files that a template's tokenizer does not need."""

MODEL_FILES = ("config.json", "adapter_config.json", "*.gguf")
"""Every directory that transformers can load has one of these."""


def fetch(
    key: str, name: str, folder: Path, environment: Mapping[str, str], stop: StopRequest
) -> Path | None:
    """The local path of the model, template or dataset of this config key; None for a hub name.

    Raises:
        AttemptFailed: it does not exist, or cannot be read.
    """
    if key == TEMPLATE_KEY and (template := chat_templates.file_of(name)) is not None:
        return template
    if locations.is_in_store(name):
        found = _fetch_from_store(key, name, folder, environment, stop)
    elif locations.is_on_the_web(name):
        found = folder / web.file_name(name)
        log.info("fetching %s", web.shown(name))
        web.download(name, found, stop)
    elif (path := _path_of(key, name)) is None:
        return None
    elif path.exists():
        found = path.absolute()
    else:
        neighbours = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise _not_found(key, name, neighbours)
    if key == MODEL_KEY:
        _require_model(name, found)
    elif key != TEMPLATE_KEY:
        if found.is_file():
            _require_data_file(key, found)
        _require_no_pointers(key, found)
    return found


def _path_of(key: str, name: str) -> Path | None:
    is_template = key == TEMPLATE_KEY and name.endswith(chat_templates.ENDINGS)
    if is_template and locations.scheme_of(name) is None:
        return Path(name).expanduser()  # No tokenizer name on the hub has this ending.
    return locations.path_of(name)


def _fetch_from_store(
    key: str, name: str, folder: Path, environment: Mapping[str, str], stop: StopRequest
) -> Path:
    store = open_store(name, environment)
    sizes = transfer.ask(store.sizes, name, stop)
    skipped = WEIGHTS if key == TEMPLATE_KEY else ()
    targets = {path: folder / path for path in sizes if not path.endswith(("/", *skipped))}
    if not targets:
        targets = {"": folder / name.rsplit("/", 1)[-1]} if _is_file(store, stop) else {}
    if not targets:
        raise _not_found(key, name, _neighbours(name, environment, stop))
    log.info("fetching %s files=%d bytes=%d", name, len(targets), sum(sizes.values()))
    digests = transfer.download(store, targets, stop)
    for path, target in targets.items():
        _date_by_content(target, digests[path])
    # `transformers` loads directories only.
    return folder if key == MODEL_KEY else targets.get("", folder)


def _date_by_content(file: Path, digest: str) -> None:
    """`datasets` identifies a file by its name and its time. With a time derived from the content,
    the next attempt, which downloads the same file, finds the prepared data, and another file never
    does.
    """
    seconds = int(digest[:8], 16)
    os.utime(file, (seconds, seconds))


def _require_model(name: str, folder: Path) -> None:
    """Fails within seconds instead of a quarter of a minute later, after the import of torch."""
    if not folder.is_dir() or any(any(folder.glob(pattern)) for pattern in MODEL_FILES):
        return
    found = ", ".join(sorted(entry.name for entry in folder.iterdir())[:5]) or "nothing"
    raise attempt_failed(
        Reason.MODEL_NOT_FOUND,
        f"{MODEL_KEY}: {name} contains no model: there is no config.json, but {found}",
        f"set {MODEL_KEY} to a directory with a config.json, or upload the complete directory that "
        "save_pretrained wrote",
    )


def _is_file(store: Store, stop: StopRequest) -> bool:
    try:
        transfer.ask(lambda: store.size(""), store.uri, stop)
    except FileNotFoundError:
        return False
    return True


def _require_data_file(key: str, file: Path) -> None:
    """As soon as the file is there, and before torch is imported."""
    # With `data_files` another key sets the reader, whatever the names are.
    if suffix_of(file.name) is None and key != FILES_KEY:
        message, remedy = unknown_file(file.name)
        raise attempt_failed(Reason.UNKNOWN_FILE_TYPE, f"{key}: {message}", remedy)
    if file.stat().st_size == 0:
        raise attempt_failed(
            Reason.EMPTY_DATASET,
            f"{key}: {file.name} is empty",
            "upload the file again, with its rows",
        )


_LARGEST_POINTER_BYTES = 1024
"""From the specification of Git LFS."""


def _require_no_pointers(key: str, found: Path) -> None:
    """A pointer is not an image, and would be trained on as a text."""
    files = [found] if found.is_file() else sorted(found.rglob("*"))
    for file in files:
        if not file.is_file() or file.stat().st_size > _LARGEST_POINTER_BYTES:
            continue
        with file.open("rb") as opened:
            if opened.read(len(LFS_POINTER)) != LFS_POINTER:
                continue
        name = file.name if file == found else file.relative_to(found)
        raise attempt_failed(
            Reason.INVALID_DATASET,
            f"{key}: {name} is a Git LFS pointer, not the data: the repository was cloned "
            "without Git LFS",
            "run git lfs install and git lfs pull in the clone, and upload the file again",
        )


def _neighbours(name: str, environment: Mapping[str, str], stop: StopRequest) -> list[str]:
    parent = name.rstrip("/").rsplit("/", 1)[0]
    if not locations.is_in_store(parent) or parent.endswith("/"):
        return []
    try:
        return transfer.ask(open_store(parent, environment).names, parent, stop)
    except AttemptFailed:
        return []  # Only a hint: the failure itself is reported without it.


def _not_found(key: str, name: str, neighbours: list[str]) -> AttemptFailed:
    last = name.rstrip("/").rsplit("/", 1)[-1]
    nearest = difflib.get_close_matches(last, neighbours, n=1, cutoff=0.5)
    beside = f"; next to it there is {', '.join(neighbours[:5])}" if neighbours else ""
    reason, kind = _KINDS.get(key, (Reason.DATASET_NOT_FOUND, "dataset"))
    return attempt_failed(
        reason,
        f"{key}: there is no {kind} at {name}{beside}",
        f"set {key} to {name.rstrip('/').removesuffix(last)}{nearest[0]}"
        if nearest
        else f"set {key} to the location of the {kind}, or upload it to {name}",
    )


_KINDS = {
    MODEL_KEY: (Reason.MODEL_NOT_FOUND, "model"),
    TEMPLATE_KEY: (Reason.CHAT_TEMPLATE_NOT_FOUND, "chat template"),
    FILES_KEY: (Reason.DATASET_NOT_FOUND, "data file"),
}
