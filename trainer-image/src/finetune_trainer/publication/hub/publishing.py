# SPDX-License-Identifier: Apache-2.0
"""Pushes a complete artifact to the hub once. An attempt that finds a complete artifact only
pushes.

`hub.json` next to the run's manifest records the push. It is not part of the artifact.
"""

import json
import logging
from collections.abc import Mapping

from finetune_contract import layout
from finetune_contract.documents import InvalidDocument, parse_object
from finetune_contract.outcome import Outcome
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.publication import artifact as publication
from finetune_trainer.publication.complete import complete_all_the_same
from finetune_trainer.publication.hub.client import HubClient
from finetune_trainer.publication.hub.destination import destination_of
from finetune_trainer.storage import transfer
from finetune_trainer.storage.store import Store, read_if_there

log = logging.getLogger(__name__)


def open_hub(run: ParsedRun, variables: Mapping[str, str], stop: StopRequest) -> HubClient | None:
    """The checked hub client for a run's push; None if pushing is not requested.

    Raises:
        AttemptFailed: there is no token, or it has no write permission there.
    """
    destination = destination_of(run, variables)
    if destination is None:
        return None
    hub = HubClient(destination, stop)
    hub.prepare()
    return hub


def push_complete(
    run: ParsedRun,
    variables: Mapping[str, str],
    store: Store,
    outcome: Outcome,
    workspace: Workspace,
    stop: StopRequest,
) -> None:
    """Pushes a complete run if that is requested and not done yet.

    Raises:
        AttemptFailed: it did not succeed; the artifact is complete anyway.
        Interrupted: a stop was requested; the next attempt pushes.
    """
    destination = destination_of(run, variables)
    if destination is None or outcome.artifact is None:
        return
    artifact = outcome.artifact
    if _pushed_digest(store, stop) == artifact.digest:
        return
    folder = publication.fetch_artifact(store, workspace, stop)
    try:
        hub = HubClient(destination, stop)
        commit = hub.push(folder, f"Fine-tuned in {outcome.step} steps")
    except AttemptFailed as error:
        raise complete_all_the_same(error, artifact.uri) from error
    pushed = {
        "repository": destination.repository,
        "revision": destination.revision or "main",
        "commit": commit,
        "digest": artifact.digest,
    }
    transfer.ask(lambda: store.write(layout.HUB, json.dumps(pushed).encode()), layout.HUB, stop)
    log.info("pushed repository=%s commit=%s", destination.repository, commit)


def _pushed_digest(store: Store, stop: StopRequest) -> str | None:
    body = transfer.ask(lambda: read_if_there(store, layout.HUB), layout.HUB, stop)
    try:
        return None if body is None else str(parse_object(body, layout.HUB).get("digest"))
    except InvalidDocument:
        return None
