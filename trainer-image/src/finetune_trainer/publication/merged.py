# SPDX-License-Identifier: Apache-2.0
"""Publishes the merged model next to its adapter: files first, then a separate manifest.

The adapter is complete before, and its manifest and digest do not change.
"""

import json
import logging

from finetune_contract import layout
from finetune_contract.documents import InvalidDocument, parse_object
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.errors import AttemptFailed, Interrupted
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.storage import transfer
from finetune_trainer.storage.manifest import ArtifactManifest
from finetune_trainer.storage.store import Store, read_if_there

log = logging.getLogger(__name__)

CARD = "README.md"
CARD_FILE = "merged_model_card.md"
CARD_TO_COME = f"{layout.REPORT}/{CARD_FILE}"
"""Written with the report by the training attempt: a later merge has less information about the
training.
"""


def is_published(store: Store, digest: str, stop: StopRequest) -> bool:
    """Whether the model that was merged from the adapter with this digest is complete."""
    body = transfer.ask(lambda: read_if_there(store, layout.MERGED), layout.MERGED, stop)
    if body is None:
        return _is_in_manifest(store, stop)
    try:
        manifest = ArtifactManifest.from_json(body)
    except InvalidDocument as error:
        log.warning("manifest of the merged model unreadable error=%s", error)
        return False
    is_whole = manifest.is_complete(transfer.ask(store.sizes, store.uri, stop))
    return is_whole and manifest.facts.get("adapter") == digest


def publish_merged(store: Store, workspace: Workspace, digest: str, stop: StopRequest) -> None:
    """Uploads `workspace.merged`, made from the adapter with this digest, and completes it.

    Raises:
        AttemptFailed: the store does not accept it.
        Interrupted: a stop was requested; the next attempt starts again.
    """
    card = transfer.ask(lambda: read_if_there(store, CARD_TO_COME), CARD_TO_COME, stop)
    if card is not None:
        (workspace.merged / CARD).write_bytes(card)
    files = transfer.upload(store, workspace.merged, layout.MODEL, stop)
    manifest = ArtifactManifest(files=files, facts={"adapter": digest})
    body = manifest.to_json().encode()
    transfer.ask(lambda: store.write(layout.MERGED, body), layout.MERGED, stop)
    log.info("published merged model uri=%s digest=%s", store.uri, manifest.digest)


def begin(store: Store, attempt: int, stop: StopRequest) -> None:
    """Records that this attempt merges: if that kills its pod, the next attempt sees it."""
    body = json.dumps({"attempt": attempt}).encode()
    transfer.ask(lambda: store.write(layout.MERGING, body), layout.MERGING, stop)


def end(store: Store, stop: StopRequest) -> None:
    """Records that merging is over, with any result. A failure to record it loses nothing else."""
    try:
        transfer.ask(lambda: store.delete([layout.MERGING]), layout.MERGING, stop)
    except (AttemptFailed, Interrupted) as error:
        log.warning("end of merging not recorded error=%s", error)


def killed_attempt(store: Store, attempt: int, stop: StopRequest) -> int | None:
    """An earlier attempt that never finished merging. An attempt of a job that was deleted and
    created again does not count: its user may have given it more memory.
    """
    body = transfer.ask(lambda: read_if_there(store, layout.MERGING), layout.MERGING, stop)
    try:
        before = None if body is None else parse_object(body, layout.MERGING).get("attempt")
    except InvalidDocument:
        return None
    return before if isinstance(before, int) and before < attempt else None


def _is_in_manifest(store: Store, stop: StopRequest) -> bool:
    """The format of releases up to 0.1: with the adapter, in one manifest."""
    body = transfer.ask(lambda: read_if_there(store, layout.MANIFEST), layout.MANIFEST, stop)
    try:
        facts = {} if body is None else parse_object(body, layout.MANIFEST).get("facts")
    except InvalidDocument:
        return False
    return isinstance(facts, dict) and bool(facts.get("merged"))
