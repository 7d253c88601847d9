# SPDX-License-Identifier: Apache-2.0
"""Whom an output place belongs to: the job that wrote `owner.json` there first."""

import json

from finetune_contract import layout
from finetune_contract.documents import parse_object
from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import attempt_failed
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.storage import locations, transfer
from finetune_trainer.storage.store import Store, read_if_there


def claim_output(store: Store, run: ParsedRun, stop: StopRequest, *, is_first_node: bool) -> None:
    """Make the output place this job's, unless it is another's.

    Raises:
        AttemptFailed: it belongs to another job.
    """
    ours = {"namespace": run.job.namespace, "name": run.job.name}
    body = _read(store, stop)
    if body is None and is_first_node:
        claim = json.dumps(ours).encode()
        transfer.ask(lambda: store.create(layout.OWNER, claim), layout.OWNER, stop)
        # Another job's, if that was quicker.
        body = _read(store, stop)
    if body is None:
        return
    owner = parse_object(body, layout.OWNER)
    if {key: owner.get(key) for key in ours} != ours:
        raise attempt_failed(
            Reason.OUTPUT_OWNED,
            f"{store.uri} belongs to the job {owner.get('namespace')}/{owner.get('name')}",
            f"give this job another spec.output.uri, e.g. {locations.join(store.uri, 'v2')}",
        )


def _read(store: Store, stop: StopRequest) -> bytes | None:
    return transfer.ask(lambda: read_if_there(store, layout.OWNER), layout.OWNER, stop)
