# SPDX-License-Identifier: Apache-2.0
"""The owner of an output location: the job that first wrote `owner.json` there.

Two clusters may have jobs of the same namespace and name. Only the one whose cluster it names
writes to the location. The other one may read complete runs.
"""

import logging

from finetune_contract import layout
from finetune_contract.owner import TAKE_OVER, Owner, is_cluster_id
from finetune_contract.reasons import Reason
from finetune_contract.run import JobReference
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.storage import locations, transfer
from finetune_trainer.storage.store import Store, read_if_there

log = logging.getLogger(__name__)

_SHOWN = 100
"""Characters of values in a document that any user may have written."""


def claim_output(
    store: Store,
    run: ParsedRun,
    stop: StopRequest,
    *,
    is_first_node: bool,
    is_complete: bool = False,
) -> bool:
    """Claims the output location for this job; returns whether it belongs to this job.

    False only if it belongs to another cluster's job of the same name and the run `is_complete`:
    then the run is read, and nothing is written.

    Raises:
        AttemptFailed: it belongs to another job.
    """
    job = run.job
    ours = Owner(namespace=job.namespace, name=job.name, cluster=job.cluster)
    owner = _read(store, stop)
    if owner is None and is_first_node:
        claim = ours.to_json().encode()
        transfer.ask(lambda: store.create(layout.OWNER, claim), layout.OWNER, stop)
        # Another job's, if that was faster.
        owner = _read(store, stop)
    if owner is None:
        return True
    if not _gives_way(owner, job):
        if is_complete and owner.is_namesake_of(ours):
            return False
        raise _refusal(store, owner, job)
    if is_first_node and job.cluster and owner.cluster != job.cluster:
        _take_over(store, owner, ours, run, stop)
    return True


def _gives_way(owner: Owner, job: JobReference) -> bool:
    """Whether the location belongs to this job, or may be claimed."""
    if not owner.is_namesake_of(Owner(namespace=job.namespace, name=job.name)):
        return False
    # From an older release, or a run outside any cluster: only its names are known.
    is_unnamed = not owner.cluster
    # An operator without permission to read its cluster's id must keep its locations.
    is_ours_unknown = job.is_in_cluster and not job.cluster
    return is_unnamed or is_ours_unknown or owner.cluster in (job.cluster, job.take_over_from)


def _take_over(store: Store, owner: Owner, ours: Owner, run: ParsedRun, stop: StopRequest) -> None:
    """
    Raises:
        AttemptFailed: a job of a third cluster did the same at the same moment.
    """
    log.info("output taken over uri=%s from=%s", store.uri, owner.cluster or "(no cluster)")
    claim = ours.to_json().encode()
    transfer.ask(lambda: store.write(layout.OWNER, claim), layout.OWNER, stop)
    written = _read(store, stop)
    if written != ours:
        raise _refusal(store, written or owner, run.job)


def _read(store: Store, stop: StopRequest) -> Owner | None:
    body = transfer.ask(lambda: read_if_there(store, layout.OWNER), layout.OWNER, stop)
    return None if body is None else Owner.from_json(body, layout.OWNER)


def _refusal(store: Store, owner: Owner, job: JobReference) -> AttemptFailed:
    another = f"set another spec.output.uri for this job, e.g. {locations.join(store.uri, 'v2')}"
    whose = f"{store.uri} belongs to the job {_shown(owner.namespace)}/{_shown(owner.name)}"
    if not owner.is_namesake_of(Owner(namespace=job.namespace, name=job.name)):
        return attempt_failed(Reason.OUTPUT_OWNED, whose, another)
    here = f"in cluster {job.cluster}" if job.cluster else "outside any cluster"
    message = f"{whose} of cluster {_shown(owner.cluster)}; this run is {here}"
    if not is_cluster_id(owner.cluster):
        return attempt_failed(Reason.OUTPUT_OWNED, message, another)
    again = "delete this job and apply it again" if job.is_in_cluster else "run this file again"
    return attempt_failed(
        Reason.OUTPUT_OWNED,
        message,
        f"{another}; or, once that job no longer runs, take the location over: {again} with the "
        f"annotation {TAKE_OVER}: {owner.cluster}",
    )


def _shown(value: object) -> str:
    """Unquoted if it can be pasted anywhere; quoted otherwise."""
    return str(value) if value is None or is_cluster_id(value) else repr(value)[:_SHOWN]
