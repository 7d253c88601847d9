# SPDX-License-Identifier: Apache-2.0
"""How the real cluster client ends objects without an owner, and which it keeps."""

import asyncio
from typing import Any

import pytest

from finetune_operator.job.manifests import build_attempt
from finetune_operator.job.observe.strays import Strays, is_stray
from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.kube.client import ApiError
from finetune_operator.kube.jobs import KubeCluster
from finetune_operator.objects.errors import NotYet
from finetune_operator.objects.large import outline_of
from finetune_operator.objects.names import CONFIG_MAPS, PODS, TRAINING_JOBS, JobKey
from support.factories import NOW, SETTINGS, a_job
from support.fake_api import FakeApi

KEY = JobKey(namespace="team", label="balloon")
CONFIG_MAP, TRAINING_JOB = build_attempt(a_job(), 1, SETTINGS)


class World:
    def __init__(self) -> None:
        self.api, self.cache = FakeApi(), ObjectCache()
        self.cluster = KubeCluster(self.api, self.cache, lambda: NOW)

    def holds(self, kind: Kind, *bodies: Any) -> None:
        """In the API server and in the cache."""
        for body in bodies:
            self.cache.remember(kind, self.api.put(kind.resource, body))

    def pod_names(self) -> list[str]:
        return [name for (kind, _, name) in self.api.objects if kind is PODS]


@pytest.fixture
def world() -> World:
    return World()


def orphaned(manifest: Any, **metadata: Any) -> dict[str, Any]:
    kept = {key: it for key, it in manifest["metadata"].items() if key != "ownerReferences"}
    return {**manifest, "metadata": {**kept, "uid": "old", **metadata}}


def a_bare_pod(name: str = "balloon-1-abcde", **metadata: Any) -> dict[str, Any]:
    created = {"name": name, "uid": f"uid-of-{name}", "creationTimestamp": "2026-01-31T12:00:00Z"}
    pod = orphaned(TRAINING_JOB, **created, **metadata)
    return {**pod, "kind": "Pod", "spec": {}, "status": {"phase": "Running"}}


def test_a_bare_pod_without_a_job_is_deleted_and_its_neighbours_are_not(
    world: World,
) -> None:
    owned = a_bare_pod("owned", ownerReferences=[{"uid": "x", "controller": True}])
    theirs = a_bare_pod("theirs", labels={"finetune.dev/job": "balloon"})
    world.holds(Kind.POD, a_bare_pod(), owned, theirs)

    assert world.cache.keys_without_job() == (KEY,)
    asyncio.run(world.cluster.end_bare_pods(KEY))

    assert sorted(world.pod_names()) == ["owned", "theirs"]


def test_a_stray_is_deleted_once_even_if_its_event_is_late(world: World) -> None:
    world.holds(Kind.POD, a_bare_pod())
    for _ in range(3):
        asyncio.run(world.cluster.end_bare_pods(KEY))

    assert world.api.calls.count("delete pods") == 1


@pytest.mark.parametrize("code", [403, 404, 409])
def test_a_refused_or_late_deletion_delays_nothing(world: World, code: int) -> None:
    world.holds(Kind.POD, a_bare_pod())
    world.api.fail_with = ApiError(code, "Refused", "no")

    asyncio.run(world.cluster.end_strays(Strays(pods=(a_bare_pod(),))))

    assert world.api.calls[-1] == "delete pods"


def test_a_config_map_without_an_owner_is_created_again_with_one(world: World) -> None:
    world.api.put(CONFIG_MAPS, orphaned(CONFIG_MAP))

    asyncio.run(world.cluster.create(CONFIG_MAP))

    (found,) = world.api.objects.values()
    assert not is_stray(found)
    assert found["data"] == CONFIG_MAP["data"]


def test_a_config_map_stays_while_its_job_exists(world: World) -> None:
    world.api.put(CONFIG_MAPS, orphaned(CONFIG_MAP))
    world.api.put(TRAINING_JOBS, orphaned(TRAINING_JOB))

    with pytest.raises(NotYet, match="has another owner"):
        asyncio.run(world.cluster.create(CONFIG_MAP))

    assert len(world.api.objects) == 2


def test_an_unreported_job_without_an_owner_is_ended_in_the_next_pass(
    world: World,
) -> None:
    world.api.put(TRAINING_JOBS, orphaned(TRAINING_JOB))

    with pytest.raises(NotYet):
        asyncio.run(world.cluster.create(TRAINING_JOB))

    (known,) = world.cache.children_of(KEY).training_jobs
    assert is_stray(known)


def test_a_large_object_is_recognized_as_a_stray_by_its_outline() -> None:
    assert is_stray(outline_of(orphaned(TRAINING_JOB)))
    assert not is_stray(outline_of(TRAINING_JOB))
