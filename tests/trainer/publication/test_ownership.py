# SPDX-License-Identifier: Apache-2.0
"""An output location belongs to one job: the first one."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.publication import ownership
from finetune_trainer.publication.ownership import claim_output
from finetune_trainer.storage.folder import FolderStore
from finetune_trainer.storage.store import Store, read_if_there
from trainer.runs import a_parsed_run

JOBS = ("balloon", "kite")


def claim(store: Store, job: str) -> str | None:
    """Why the location does not belong to this job; None if it does."""
    try:
        claim_output(store, a_parsed_run(name=job), StopRequest(), is_first_node=True)
    except AttemptFailed as error:
        return f"{error.failure.reason}: {error.failure.message}"
    return None


def claim_together(store: Store) -> dict[str, str | None]:
    """The messages of both jobs, each of which has seen that the location has no owner."""
    seen = threading.Barrier(len(JOBS))

    def read_together(*arguments: Any) -> bytes | None:
        body = read_if_there(*arguments)
        if body is None:
            seen.wait(60)
        return body

    with (
        mock.patch.object(ownership, "read_if_there", read_together),
        ThreadPoolExecutor(len(JOBS)) as executor,
    ):
        return dict(zip(JOBS, executor.map(lambda job: claim(store, job), JOBS), strict=True))


def test_a_location_belongs_to_the_job_that_claimed_it(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)

    assert [claim(store, "balloon"), claim(store, "balloon")] == [None, None]
    assert claim(store, "kite") == (f"OutputOwned: {store.uri} belongs to the job team-a/balloon")


def test_one_of_two_jobs_that_claim_a_location_at_the_same_time_gets_it(tmp_path: Path) -> None:
    told = claim_together(FolderStore(tmp_path))

    require_one_owner(told)
    assert [path.name for path in tmp_path.iterdir()] == ["owner.json"]


def require_one_owner(told: dict[str, str | None]) -> None:
    owners = [job for job, refusal in told.items() if refusal is None]
    assert len(owners) == 1, told
    (refusal,) = (refusal for refusal in told.values() if refusal is not None)
    assert refusal.endswith(f"belongs to the job team-a/{owners[0]}")


def test_a_job_that_found_a_location_free_leaves_it_to_a_faster_one(tmp_path: Path) -> None:
    store, quicker = FolderStore(tmp_path), iter(["kite"])

    def read_slowly(*arguments: Any) -> bytes | None:
        body = read_if_there(*arguments)
        if (job := next(quicker, None)) is not None:
            assert claim(store, job) is None
        return body

    with mock.patch.object(ownership, "read_if_there", read_slowly):
        refusal = claim(store, "balloon")

    assert refusal == f"OutputOwned: {store.uri} belongs to the job team-a/kite"


def test_other_nodes_claim_nothing(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)

    claim_output(store, a_parsed_run(), StopRequest(), is_first_node=False)

    assert store.names() == []
