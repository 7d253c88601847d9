# SPDX-License-Identifier: Apache-2.0
"""Checkpoints in the object store: the manifest is written last, and only with it a checkpoint is
valid.

checkpoints/step-NNNNNNNN/attempt-N/...          node 0's files
checkpoints/step-NNNNNNNN/attempt-N/node-K/...   another node's: random states, shards
checkpoints/step-NNNNNNNN/attempt-N/part-K.json  another node is done
checkpoints/step-NNNNNNNN/manifest.json          written by node 0 when all are done
"""

import json
import logging
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from finetune_contract import layout
from finetune_contract.documents import InvalidDocument, parse_object
from finetune_trainer.exchange.workspace import write_atomically
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.storage import transfer
from finetune_trainer.storage.manifest import ArtifactManifest, File
from finetune_trainer.storage.store import Store, read_if_there

log = logging.getLogger(__name__)

TRAINER_STATE = "trainer_state.json"
UNLOGGED = "unlogged*.json"
"""Files that the ranks themselves write there."""

_LARGEST_STATE = 2**30
"""Bytes: it has a record of every logged step."""

PART_TIMEOUT_SECONDS = 120
MANIFEST_TIMEOUT_SECONDS = 30
POLL_SECONDS = 0.5
_NODE_FOLDER = re.compile(r"^attempt-\d+/(node-\d+/)?")
_STEP_FOLDER = re.compile(rf"^{layout.CHECKPOINTS}/{layout.STEP}/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint that was fetched."""

    step: int
    folder: Path
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The facts of its manifest."""

    @property
    def is_in_parts(self) -> bool:
        """Whether FSDP has saved it with one part per process."""
        return any(path.is_dir() for path in self.folder.glob("pytorch_model_fsdp_*"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """The writer of a checkpoint."""

    attempt: int
    node: int
    nodes: int
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The facts that its reader needs, in addition to those added here."""


def complete_steps(paths: Iterable[str]) -> list[int]:
    """The steps with a manifest, newest first. A listing has no order of its own."""
    steps = (layout.step_of_manifest(path) for path in paths)
    return sorted((step for step in steps if step is not None), reverse=True)


def steps_to_delete(paths: Iterable[str], keep: int | None, best: int | None = None) -> list[int]:
    """Complete steps beyond `keep`, and partial ones older than a complete one.

    As in the Trainer the newest and the best always stay, and then the newest up to `keep`.
    """
    known = list(paths)
    complete = complete_steps(known)
    if not complete:
        return []
    kept = {step for step in (complete[0], best) if step in complete}
    room = len(complete) if keep is None or keep <= 0 else max(keep, len(kept))
    for step in complete:
        if len(kept) < room:
            kept.add(step)
    found = {int(match[1]) for path in known if (match := _STEP_FOLDER.match(path))}
    return sorted(step for step in found - kept if step < complete[0])


def local_path(path: str) -> str:
    """The path of a manifest's file in the checkpoint's directory."""
    return _NODE_FOLDER.sub("", path)


def fetch_newest(
    store: Store, target: Path, stop: StopRequest, *, with_best: bool = False
) -> Checkpoint | None:
    """The newest checkpoint that is complete in every byte; None for a fresh start.

    Together with the best one, on request: without its directory the Trainer would lose it.
    """
    sizes = transfer.ask(lambda: store.sizes(layout.CHECKPOINTS), layout.CHECKPOINTS, stop)
    for step in complete_steps(sizes):
        folder = _folder(target, step)
        manifest = _fetch(store, step, sizes, folder, stop)
        if manifest is not None and _can_be_read(folder):
            best = best_step(folder)
            if with_best and best is not None and best != step:
                _fetch(store, best, sizes, _folder(target, best), stop)
            _tell_where_best_is(folder)
            return Checkpoint(step=step, folder=folder, facts=manifest.facts)
        log.warning("checkpoint is damaged, trying an older one step=%d", step)
        shutil.rmtree(folder, ignore_errors=True)
    return None


def best_step(folder: Path) -> int | None:
    """The Trainer's best step at the time of this checkpoint."""
    best = _trainer_state(folder).get("best_global_step")
    return best if type(best) is int and 0 < best <= layout.MAX_STEP else None


def _can_be_read(folder: Path) -> bool:
    """Any user who can write to the output location may have written it, including its digests."""
    try:
        _trainer_state(folder)
        for file in folder.glob(UNLOGGED):
            parse_object(file.read_bytes(), file.name)
    except InvalidDocument as invalid:
        log.warning("checkpoint cannot be read error=%s", invalid)
        return False
    return True


def _tell_where_best_is(folder: Path) -> None:
    """The attempt that wrote the Trainer's state may have had another work directory."""
    best, state = best_step(folder), _trainer_state(folder)
    if best is None:
        return
    there = _folder(folder.parent, best)
    state["best_model_checkpoint"] = str(there) if there.is_dir() else None
    write_atomically(folder / TRAINER_STATE, json.dumps(state, indent=2))


def _trainer_state(folder: Path) -> dict[str, Any]:
    path = folder / TRAINER_STATE
    return parse_object(path.read_bytes(), path.name, _LARGEST_STATE) if path.is_file() else {}


def _folder(target: Path, step: int) -> Path:
    return target / f"checkpoint-{step}"


def _fetch(
    store: Store, step: int, sizes: Mapping[str, int], folder: Path, stop: StopRequest
) -> ArtifactManifest | None:
    """The manifest of a checkpoint whose bytes are all present and correct."""
    prefix = layout.checkpoint_prefix(step)
    try:
        body = transfer.ask(lambda: store.read(f"{prefix}/{layout.MANIFEST}"), prefix, stop)
        manifest = ArtifactManifest.from_json(body)
    except (FileNotFoundError, InvalidDocument):
        return None
    below = {path.removeprefix(f"{prefix}/"): size for path, size in sizes.items()}
    if not manifest.is_complete(below):
        return None
    targets = {f"{prefix}/{file.path}": folder / local_path(file.path) for file in manifest.files}
    try:
        digests = transfer.download(store, targets, stop)
    except FileNotFoundError:
        return None
    is_right = all(digests[f"{prefix}/{file.path}"] == file.sha256 for file in manifest.files)
    return manifest if is_right else None


def write(store: Store, folder: Path, step: int, writer: Writer) -> bool:
    """Uploads this node's part; node 0 completes the checkpoint. Returns whether it is complete."""
    prefix = layout.checkpoint_prefix(step)
    attempt = f"attempt-{writer.attempt}"
    own = attempt if writer.node == 0 else f"{attempt}/node-{writer.node}"
    uploaded = transfer.upload(store, folder, f"{prefix}/{own}")
    files = tuple(replace(file, path=file.path.removeprefix(f"{prefix}/")) for file in uploaded)
    if writer.node != 0:
        _write(store, f"{prefix}/{attempt}/part-{writer.node}.json", ArtifactManifest(files=files))
        return _wait_until_complete(store, prefix, attempt)
    others = _wait_for_parts(store, f"{prefix}/{attempt}", writer.nodes)
    if others is None:
        return False
    facts = {**writer.facts, "step": step, "folder": attempt, "nodes": writer.nodes}
    _write(
        store, f"{prefix}/{layout.MANIFEST}", ArtifactManifest(files=files + others, facts=facts)
    )
    return True


def _write(store: Store, path: str, manifest: ArtifactManifest) -> None:
    transfer.ask(lambda: store.write(path, manifest.to_json().encode()), path)


def _wait_for_parts(store: Store, folder: str, nodes: int) -> tuple[File, ...] | None:
    """The other nodes' files; None if one did not arrive in time."""
    files: tuple[File, ...] = ()
    for node in range(1, nodes):
        body = _wait_for(store, f"{folder}/part-{node}.json", PART_TIMEOUT_SECONDS)
        if body is None:
            log.warning("checkpoint stays incomplete, no part of node=%d", node)
            return None
        files += ArtifactManifest.from_json(body).files
    return files


def _wait_until_complete(store: Store, prefix: str, attempt: str) -> bool:
    """Whether node 0 completed it: the other nodes' outcomes contain the saved step, too."""
    body = _wait_for(store, f"{prefix}/{layout.MANIFEST}", MANIFEST_TIMEOUT_SECONDS)
    return body is not None and ArtifactManifest.from_json(body).facts.get("folder") == attempt


def _wait_for(store: Store, path: str, seconds: float) -> bytes | None:
    deadline = time.monotonic() + seconds
    while (body := read_if_there(store, path)) is None and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return body


def prune(store: Store, keep: int | None, best: int | None = None) -> None:
    """Deletes the steps from `steps_to_delete`, each manifest before its files."""
    sizes = store.sizes(layout.CHECKPOINTS)
    for step in steps_to_delete(sizes, keep, best):
        prefix = f"{layout.checkpoint_prefix(step)}/"
        paths = [path for path in sizes if path.startswith(prefix)]
        manifest = f"{prefix}{layout.MANIFEST}"
        if manifest in paths:
            store.delete([manifest])
        store.delete([path for path in paths if path != manifest])
        log.info("checkpoint deleted step=%d", step)
