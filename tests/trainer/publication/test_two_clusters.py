# SPDX-License-Identifier: Apache-2.0
"""Only one of two jobs with the same namespace and name in two clusters writes to a location."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from finetune_trainer.attempt.output_place import enter_output
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.progress.reporting import Reporter
from finetune_trainer.publication import ownership
from finetune_trainer.publication.ownership import claim_output
from finetune_trainer.storage.folder import FolderStore
from finetune_trainer.storage.store import Store, read_if_there
from finetune_trainer.supervision.context import AttemptContext
from trainer.publication.test_publication import Place
from trainer.runs import a_parsed_run

NAMES = {"namespace": "team-a", "name": "balloon"}
OURS, THEIRS = "8f4e-ours", "51c0-theirs"


def claim(store: Store, *, is_first_node: bool = True, **job: Any) -> str | None:
    """The message for the job; None if the location is its own."""
    try:
        assert claim_output(store, a_parsed_run(**job), StopRequest(), is_first_node=is_first_node)
    except AttemptFailed as error:
        failure = error.failure
        return f"{failure.reason}: {failure.message}. {failure.remedy}"
    return None


def owned_by(folder: Path, **owner: Any) -> FolderStore:
    store = FolderStore(folder)
    store.write("owner.json", json.dumps(owner).encode())
    return store


def owner_of(store: Store) -> Any:
    return json.loads(store.read("owner.json"))


def test_a_job_of_another_cluster_is_refused_with_the_owner_and_how_to_take_over(
    tmp_path: Path,
) -> None:
    store = FolderStore(tmp_path)
    assert claim(store, cluster=THEIRS) is None

    told = claim(store, cluster=OURS)

    assert told == (
        f"OutputOwned: {store.uri} belongs to the job team-a/balloon of cluster 51c0-theirs; "
        "this run is in cluster 8f4e-ours. set another spec.output.uri for this job, e.g. "
        f"{store.uri}/v2; or, once that job no longer runs, take the location over: delete this "
        "job and apply it again with the annotation finetune.dev/take-over-from: 51c0-theirs"
    )
    assert claim(store, cluster=THEIRS) is None
    assert owner_of(store) == {**NAMES, "cluster": THEIRS}


def test_every_node_of_the_other_cluster_is_refused(tmp_path: Path) -> None:
    store = owned_by(tmp_path, **NAMES, cluster=THEIRS)

    assert claim(store, cluster=OURS, is_first_node=False) is not None


def test_taking_over_a_location_makes_the_job_its_owner_and_refuses_the_former_one(
    tmp_path: Path,
) -> None:
    store = owned_by(tmp_path, **NAMES, cluster=THEIRS)

    assert claim(store, cluster=OURS, take_over_from=THEIRS) is None

    assert owner_of(store) == {**NAMES, "cluster": OURS}
    assert claim(store, cluster=OURS) is None
    assert claim(store, cluster=THEIRS) is not None


def test_a_location_is_taken_over_from_the_named_cluster_only(tmp_path: Path) -> None:
    store = owned_by(tmp_path, **NAMES, cluster="yet-another")

    assert claim(store, cluster=OURS, take_over_from=THEIRS) is not None
    assert owner_of(store)["cluster"] == "yet-another"


@pytest.mark.parametrize(
    "cluster", [None, "", OURS], ids=["of an older release", "empty", "of this cluster"]
)
def test_another_job_cannot_take_over(tmp_path: Path, cluster: str | None) -> None:
    store = owned_by(tmp_path, namespace="team-a", name="kite", cluster=cluster)

    told = claim(store, cluster=OURS, take_over_from=cluster)

    assert told == (
        f"OutputOwned: {store.uri} belongs to the job team-a/kite. set another spec.output.uri "
        f"for this job, e.g. {store.uri}/v2"
    )


def test_a_location_of_an_older_release_is_assigned_to_the_first_cluster(
    tmp_path: Path,
) -> None:
    store = owned_by(tmp_path, **NAMES)

    assert claim(store, cluster=OURS, is_first_node=False) is None
    assert owner_of(store) == NAMES
    assert claim(store, cluster=OURS) is None

    assert owner_of(store) == {**NAMES, "cluster": OURS}
    assert claim(store, cluster=THEIRS) is not None


def test_an_operator_without_a_cluster_id_keeps_its_locations(
    tmp_path: Path,
) -> None:
    """This is an older operator after a rollback, or one with a revoked permission."""
    store = owned_by(tmp_path, **NAMES, cluster=OURS)

    assert claim(store) is None
    assert owner_of(store) == {**NAMES, "cluster": OURS}


def test_the_faster_of_two_clusters_that_find_a_location_free_gets_it(tmp_path: Path) -> None:
    store, quicker = FolderStore(tmp_path), iter([THEIRS])

    def read_slowly(*arguments: Any) -> bytes | None:
        body = read_if_there(*arguments)
        if (cluster := next(quicker, None)) is not None:
            assert claim(store, cluster=cluster) is None
        return body

    with mock.patch.object(ownership, "read_if_there", read_slowly):
        told = claim(store, cluster=OURS)

    assert told is not None
    assert f"of cluster {THEIRS}" in told
    assert owner_of(store)["cluster"] == THEIRS


@pytest.mark.parametrize("former", [{}, {"cluster": "former"}], ids=["older release", "moved"])
def test_the_last_writer_of_two_clusters_that_take_over_gets_the_location(
    tmp_path: Path, former: dict[str, str]
) -> None:
    store = owned_by(tmp_path, **NAMES, **former)
    reads = iter(["before", "after"])

    def overtaken(*arguments: Any) -> bytes | None:
        if next(reads) == "after":
            owned_by(tmp_path, **NAMES, cluster=THEIRS)
        return read_if_there(*arguments)

    with mock.patch.object(ownership, "read_if_there", overtaken):
        told = claim(store, cluster=OURS, take_over_from="former")

    assert told is not None
    assert f"of cluster {THEIRS}" in told


def test_a_local_run_leaves_a_location_of_a_cluster_unchanged(
    tmp_path: Path,
) -> None:
    store = owned_by(tmp_path, **NAMES, cluster=THEIRS)

    told = claim(store, uid="")

    assert told is not None
    assert "of cluster 51c0-theirs; this run is outside any cluster" in told
    assert "run this file again with the annotation finetune.dev/take-over-from" in told
    assert claim(store, uid="", take_over_from=THEIRS) is None
    assert owner_of(store)["cluster"] == THEIRS


def test_a_run_started_without_a_cluster_is_continued_in_one(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    assert claim(store, uid="") is None
    assert owner_of(store) == NAMES

    assert claim(store, cluster=OURS) is None
    assert owner_of(store) == {**NAMES, "cluster": OURS}


@pytest.mark.parametrize(
    "cluster",
    [
        pytest.param("x; rm -rf ~ #", id="a command"),
        pytest.param("\x1b[2J", id="a terminal's escape"),
        pytest.param("a" * 100_000, id="long"),
        pytest.param({"a": [1]}, id="an object"),
        pytest.param(7, id="a number"),
    ],
)
def test_any_recorded_cluster_is_quoted_and_never_part_of_a_remedy(
    tmp_path: Path, cluster: Any
) -> None:
    store = owned_by(tmp_path, **NAMES, cluster=cluster)

    told = claim(store, cluster=OURS)

    assert told is not None
    assert told.isprintable()
    assert len(told) < 1000
    assert "take-over-from" not in told


class Attempt:
    """The output location opened by an attempt of this cluster; its run is complete there."""

    def __init__(self, place: Place, tmp_path: Path) -> None:
        self.place = place
        self.published = place.publish()
        self.context = AttemptContext(
            workspace=place.workspace,
            environment={},
            hardware=Hardware(gpus=0, cpus=1),
            stop=StopRequest(),
            reporter=Reporter(place.workspace, lambda _: None, 1.0, attempt=1),
            grace_seconds=1.0,
        )

    def run_of(self, **job: Any) -> ParsedRun:
        run = self.place.run
        return replace(run, job=replace(run.job, **job))

    def files(self) -> dict[str, bytes]:
        return {path: self.place.output.read(path) for path in self.place.output.sizes()}


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return Attempt(Place(tmp_path), tmp_path)


def test_a_complete_run_succeeds_in_another_cluster_without_writing(
    attempt: Attempt,
) -> None:
    """A backup restored a finished job in another cluster, without its status."""
    owned_by(attempt.place.output.root, **NAMES, cluster=THEIRS)
    attempt.place.output.write("latest.json", b"of a newer run")
    before = attempt.files()

    place = enter_output(attempt.run_of(cluster=OURS), attempt.context)

    assert place.completed == attempt.published
    assert attempt.files() == before


def test_a_complete_run_of_another_job_is_not_read(attempt: Attempt) -> None:
    owned_by(attempt.place.output.root, namespace="team-b", name="balloon", cluster=THEIRS)

    with pytest.raises(AttemptFailed, match="belongs to the job team-b/balloon"):
        enter_output(attempt.run_of(cluster=OURS), attempt.context)


def test_a_complete_run_is_finished_and_claimed_in_its_own_cluster(
    attempt: Attempt,
) -> None:
    attempt.place.output.delete(["latest.json"])
    store = owned_by(attempt.place.output.root, **NAMES)

    place = enter_output(attempt.run_of(cluster=OURS), attempt.context)

    assert place.completed == attempt.published
    assert json.loads(store.read("latest.json"))["runId"] == attempt.place.run.run_id
    assert owner_of(store) == {**NAMES, "cluster": OURS}
