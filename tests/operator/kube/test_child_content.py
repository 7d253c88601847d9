# SPDX-License-Identifier: Apache-2.0
"""An existing child is accepted as the desired one only if it has the same content."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from finetune_contract.run import Run, digest
from finetune_operator.job.manifests import build_attempt
from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.kube.client import ApiError
from finetune_operator.kube.jobs import KubeCluster
from finetune_operator.objects.errors import Conflict, NotYet
from finetune_operator.objects.names import (
    CONFIG_MAPS,
    RESOURCES_BY_KIND,
    SERVICES,
    TRAINING_JOBS,
    JobKey,
)
from support.factories import CONFIG, NOW, SETTINGS, a_job
from support.fake_api import FakeApi

NODES = {"resources": {"nodes": 2, "gpusPerNode": 1}}
EDITED = {"config": {**CONFIG, "learning_rate": 1e-3}}
KINDS = ("ConfigMap", "Service", "NetworkPolicy")


def children(**spec: Any) -> dict[str, dict[str, Any]]:
    return {made["kind"]: made for made in build_attempt(a_job(**NODES, **spec), 1, SETTINGS)}


OLD, WANTED = children(), children(**EDITED)


class World:
    def __init__(self, *there: Mapping[str, Any]) -> None:
        self.api, self.cache = FakeApi(), ObjectCache()
        self.cluster = KubeCluster(self.api, self.cache, lambda: NOW)
        for manifest in there:
            metadata = {**manifest["metadata"], "uid": f"uid-of-{manifest['kind']}"}
            self.api.put(RESOURCES_BY_KIND[manifest["kind"]], {**manifest, "metadata": metadata})

    def create(self, manifest: Any) -> None:
        asyncio.run(self.cluster.create(manifest))

    def found(self, kind: str) -> Any:
        return self.api.objects[RESOURCES_BY_KIND[kind], "team", "balloon-1"]


def without_digest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """As created by an operator without digests."""
    metadata = {name: it for name, it in manifest["metadata"].items() if name != "annotations"}
    return {**manifest, "metadata": metadata}


def test_an_outdated_run_document_is_replaced_if_its_attempt_never_started() -> None:
    """A quota refused the Job, the config was edited, the quota was raised."""
    world = World(OLD["ConfigMap"])

    world.create(WANTED["ConfigMap"])

    read = Run.from_json(world.found("ConfigMap")["data"]["run.json"])
    assert read.config["learning_rate"] == 1e-3
    assert "delete configmaps" in world.api.calls


@pytest.mark.parametrize("kind", KINDS)
def test_an_unchanged_child_is_left_alone(kind: str) -> None:
    world = World(OLD[kind])

    world.create(OLD[kind])

    assert world.found(kind)["metadata"]["uid"] == f"uid-of-{kind}"
    assert not [call for call in world.api.calls if call.startswith("delete")]


@pytest.mark.parametrize("kind", KINDS)
def test_a_leftover_of_an_older_operator_without_a_job_is_created_again(kind: str) -> None:
    world = World(without_digest(OLD[kind]))

    world.create(OLD[kind])

    assert world.found(kind)["metadata"]["annotations"] == OLD[kind]["metadata"]["annotations"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_running_job_keeps_its_children_during_an_operator_upgrade(kind: str) -> None:
    world = World(without_digest(OLD[kind]), without_digest(OLD["Job"]))

    world.create(WANTED[kind])

    assert world.found(kind)["metadata"]["uid"] == f"uid-of-{kind}"
    assert not [call for call in world.api.calls if call.startswith("delete")]


@pytest.mark.parametrize("kind", KINDS)
def test_a_running_job_keeps_its_children_when_its_cluster_becomes_known(kind: str) -> None:
    """Run documents name the cluster: those of earlier attempts did not."""
    settings = replace(SETTINGS, cluster_id="5f0c")
    known = {it["kind"]: it for it in build_attempt(a_job(**NODES), 1, settings)}
    world = World(OLD[kind], OLD["Job"])

    world.create(known[kind])

    assert world.found(kind)["metadata"]["uid"] == f"uid-of-{kind}"
    assert not [call for call in world.api.calls if call.startswith("delete")]


@pytest.mark.parametrize(
    "there", [OLD["Job"], without_digest(WANTED["Job"])], ids=["of another spec", "older"]
)
def test_a_job_created_for_another_purpose_is_recognized_as_such(there: Any) -> None:
    """Its attempt was unknown: it is not recorded as an attempt of the current spec."""
    world = World(there)

    with pytest.raises(Conflict):
        world.create(WANTED["Job"])

    (seen,) = world.cache.children_of(JobKey(namespace="team", label="balloon")).training_jobs
    assert seen["metadata"]["uid"] == "uid-of-Job"
    assert not [call for call in world.api.calls if call.startswith("delete")]


def test_a_job_that_no_watch_has_reported_is_named() -> None:
    metadata = {**OLD["Job"]["metadata"], "labels": {}}
    world = World({**OLD["Job"], "metadata": metadata})

    with pytest.raises(NotYet, match="Job balloon-1 already exists with different content: delete"):
        world.create(WANTED["Job"])


def test_a_child_whose_deletion_is_blocked_is_waited_for() -> None:
    class Kept(FakeApi):
        async def delete(
            self, resource: Any, namespace: str, name: str, uid: str, **_: Any
        ) -> None:
            found = self.objects[resource, namespace, name]
            found["metadata"]["deletionTimestamp"] = "2026-05-04T12:00:00Z"

    world = World()
    world.api = Kept()
    world.cluster = KubeCluster(world.api, world.cache, lambda: NOW)
    world.api.put(
        CONFIG_MAPS, {**OLD["ConfigMap"], "metadata": OLD["ConfigMap"]["metadata"] | {"uid": "x"}}
    )

    with pytest.raises(NotYet, match="ConfigMap balloon-1 already exists"):
        world.create(WANTED["ConfigMap"])


def test_an_edited_digest_alone_does_not_pass_for_the_desired_child() -> None:
    """A user who can write ConfigMaps can set any annotation: the trainer reads the document."""
    forged = {**OLD["ConfigMap"], "metadata": WANTED["ConfigMap"]["metadata"]}
    world = World(forged)
    world.create(WANTED["ConfigMap"])

    (container,) = WANTED["Job"]["spec"]["template"]["spec"]["containers"]
    expected = {it["name"]: it["value"] for it in container["env"]}["FINETUNE_RUN_DIGEST"]
    assert digest(world.found("ConfigMap")["data"]["run.json"]) != expected
    assert digest(WANTED["ConfigMap"]["data"]["run.json"]) == expected


def test_a_refused_deletion_is_reported() -> None:
    world = World(OLD["Service"])

    async def refuse(*_: Any, **__: Any) -> None:
        raise ApiError(403, "Forbidden", "no")

    world.api.delete = refuse  # type: ignore[method-assign]

    with pytest.raises(ApiError, match="no"):
        world.create(WANTED["Service"])
    assert SERVICES in {resource for resource, _, _ in world.api.objects}
    assert TRAINING_JOBS not in {resource for resource, _, _ in world.api.objects}


@pytest.mark.parametrize("kind", KINDS)
def test_children_of_a_known_job_are_looked_up_and_not_created_again(kind: str) -> None:
    world = World(*WANTED.values())
    world.cache.remember(Kind.TRAINING_JOB, world.found("Job"))

    world.create(WANTED[kind])

    resource = RESOURCES_BY_KIND[kind].plural
    assert world.api.calls == [f"get {resource}"]


@pytest.mark.parametrize("kind", KINDS)
def test_deleted_children_of_a_known_job_are_created_again(kind: str) -> None:
    world = World(WANTED["Job"])
    world.cache.remember(Kind.TRAINING_JOB, world.found("Job"))

    world.create(WANTED[kind])

    assert world.found(kind)["metadata"]["name"] == "balloon-1"


def test_a_child_of_another_owner_with_the_same_name_is_waited_for() -> None:
    world = World(WANTED["Job"], WANTED["ConfigMap"])
    world.cache.remember(Kind.TRAINING_JOB, world.found("Job"))
    world.found("ConfigMap")["metadata"]["ownerReferences"] = []

    with pytest.raises(NotYet, match="has another owner"):
        world.create(WANTED["ConfigMap"])
