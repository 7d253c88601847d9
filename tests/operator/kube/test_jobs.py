# SPDX-License-Identifier: Apache-2.0
import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from finetune_operator.job.attempts import render_attempts
from finetune_operator.job.manifests import build_attempt
from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.kube.client import ApiError
from finetune_operator.kube.jobs import KubeCluster
from finetune_operator.objects.errors import Conflict, Gone, NotYet
from finetune_operator.objects.names import (
    CONFIG_MAPS,
    EVENTS,
    FINETUNE_JOBS,
    NETWORK_POLICIES,
    PODS,
    RESOURCES_BY_KIND,
    TRAINING_JOBS,
    JobKey,
)
from support.factories import NOW, SETTINGS, a_job, a_job_body, a_pod, a_training_job, an_attempt
from support.fake_api import FakeApi

KEY = JobKey(namespace="team", label="balloon")
_, TRAINING_JOB = build_attempt(a_job(), 1, SETTINGS)
Answer = TypeVar("Answer")


class World:
    def __init__(self) -> None:
        self.api, self.cache = FakeApi(), ObjectCache()
        self.cluster = KubeCluster(self.api, self.cache, lambda: NOW)

    def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run(work)


@pytest.fixture
def world() -> World:
    return World()


def made(manifest: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {**manifest, "metadata": {**manifest["metadata"], "uid": "made", **metadata}}


def test_a_created_job_is_cached_before_its_event_arrives(world: World) -> None:
    world.api.create = _with_uid(world.api.create)  # type: ignore[method-assign]

    world.run(world.cluster.create(TRAINING_JOB))

    (remembered,) = world.cache.children_of(KEY).training_jobs
    assert remembered["metadata"]["name"] == "balloon-1"


def _with_uid(create: Any) -> Any:
    async def create_with_uid(resource: Any, body: Any) -> Any:
        return await create(resource, made(body))

    return create_with_uid


def test_a_child_that_already_exists_counts_as_created(world: World) -> None:
    world.api.put(TRAINING_JOBS, made(TRAINING_JOB))

    world.run(world.cluster.create(TRAINING_JOB))

    assert len(world.cache.children_of(KEY).training_jobs) == 1


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"ownerReferences": []}, id="a user's own Job"),
        pytest.param(
            {"ownerReferences": [{"uid": "earlier", "controller": True}]}, id="an earlier job's"
        ),
        pytest.param({"deletionTimestamp": "2026-05-04T12:00:00Z"}, id="ours, but on its way out"),
    ],
)
def test_a_taken_name_is_waited_for(world: World, metadata: dict[str, Any]) -> None:
    world.api.put(TRAINING_JOBS, made(TRAINING_JOB, **metadata))

    with pytest.raises(NotYet, match="Job balloon-1 already exists"):
        world.run(world.cluster.create(TRAINING_JOB))


def test_a_recorded_job_missing_from_the_cache_is_fetched(world: World) -> None:
    """A new leader may see a job's status before it sees the Job."""
    world.api.put(TRAINING_JOBS, a_training_job())
    body = a_job_body(status={"attempts": render_attempts([an_attempt()])})

    children = world.run(world.cluster.children_of(body))

    assert len(children.training_jobs) == 1


def test_a_recorded_job_that_the_api_server_no_longer_has_is_gone(world: World) -> None:
    body = a_job_body(status={"attempts": render_attempts([an_attempt()])})

    assert world.run(world.cluster.children_of(body)).training_jobs == ()
    assert world.api.calls == ["get jobs"]


def test_another_owners_job_with_the_same_name_is_not_cached(world: World) -> None:
    world.api.put(TRAINING_JOBS, made(TRAINING_JOB, labels={}))
    body = a_job_body(status={"attempts": render_attempts([an_attempt()])})

    assert world.run(world.cluster.children_of(body)).training_jobs == ()


def test_a_status_is_written_with_the_resource_version_it_was_computed_from(world: World) -> None:
    known = world.api.put(FINETUNE_JOBS, a_job_body())

    world.run(world.cluster.write_status(known, {"phase": "Running"}))

    remembered = world.cache.find_job(KEY)
    assert remembered is not None
    assert remembered["status"]["phase"] == "Running"
    with pytest.raises(Conflict):
        world.run(world.cluster.write_status(known, {"phase": "Failed"}))


def test_all_objects_of_a_multi_node_attempt_are_deleted_with_it(world: World) -> None:
    job = a_job(resources={"nodes": 2, "gpusPerNode": 1})
    for manifest in build_attempt(job, 1, SETTINGS):
        world.api.put(RESOURCES_BY_KIND[manifest["kind"]], made(manifest))
    theirs = made(build_attempt(a_job(uid="of another job"), 2, SETTINGS)[0])
    world.api.put(CONFIG_MAPS, theirs)

    world.run(world.cluster.delete_children(a_job_body(), ["balloon-1", "balloon-2"]))

    assert [name for _, _, name in world.api.objects] == ["balloon-2"]


def test_without_network_policies_no_request_about_them_is_made(world: World) -> None:
    """The operator has no such permission then, and a refusal would end the clean-up."""
    cluster = KubeCluster(world.api, world.cache, lambda: NOW, has_policies=False)
    world.api.put(TRAINING_JOBS, made(TRAINING_JOB))

    world.run(cluster.delete_children(a_job_body(), ["balloon-1"]))

    assert not [call for call in world.api.calls if NETWORK_POLICIES.plural in call]
    assert world.api.objects == {}


def test_the_status_of_a_deleted_job_is_not_written(world: World) -> None:
    with pytest.raises(Gone):
        world.run(world.cluster.write_status(a_job_body(), {"phase": "Running"}))


def test_the_status_of_a_recreated_job_is_not_written(world: World) -> None:
    known = world.api.put(FINETUNE_JOBS, a_job_body(uid="new"))
    stale = a_job_body(
        uid="old", metadata={"resourceVersion": known["metadata"]["resourceVersion"]}
    )

    with pytest.raises(Conflict):
        world.run(world.cluster.write_status(stale, {"phase": "Running"}))


def test_the_newest_version_is_confirmed_or_cached(world: World) -> None:
    old = world.api.put(FINETUNE_JOBS, a_job_body())
    world.run(world.cluster.confirm_newest(old))
    new = world.api.put(FINETUNE_JOBS, a_job_body())

    with pytest.raises(Conflict):
        world.run(world.cluster.confirm_newest(old))

    assert world.cache.find_job(KEY) == new


def test_an_existing_child_counts_although_its_quota_is_exhausted(world: World) -> None:
    document, *_ = build_attempt(a_job(), 1, SETTINGS)
    world.api.put(CONFIG_MAPS, document)
    world.api.refuse_new = ApiError(403, "Forbidden", "exceeded quota")

    world.run(world.cluster.create(document))


@pytest.mark.parametrize(
    ("refusal", "is_told"),
    [
        pytest.param(ApiError(403, "Forbidden", "exceeded quota"), True, id="quota"),
        pytest.param(ApiError(422, "Invalid", "policy says no"), True, id="policy"),
        pytest.param(ApiError(400, "", "webhook says no"), True, id="webhook that refuses"),
        pytest.param(
            ApiError(500, "InternalError", 'failed calling webhook "x": no endpoints'),
            True,
            id="webhook that is down",
        ),
        pytest.param(ApiError(500, "InternalError", "etcd"), False, id="server error"),
        pytest.param(ApiError(429, "TooManyRequests", "later"), False, id="too many requests"),
        pytest.param(ApiError(401, "Unauthorized", "who?"), False, id="token rotated"),
    ],
)
def test_an_error_that_others_must_fix_is_reported_and_others_are_retried(
    world: World, refusal: ApiError, is_told: bool
) -> None:
    world.api.refuse_new = refusal

    with pytest.raises(NotYet if is_told else ApiError, match=refusal.message):
        world.run(world.cluster.create(TRAINING_JOB))


def test_nothing_is_created_or_reported_in_a_deleted_namespace(world: World) -> None:
    world.api.refuse_new = ApiError(404, "NotFound", 'namespaces "team" not found')

    with pytest.raises(Gone):
        world.run(world.cluster.create(TRAINING_JOB))


def test_the_newest_event_on_why_a_job_has_no_pods_is_found(world: World) -> None:
    world.cache.remember(Kind.TRAINING_JOB, without_pods("2026-05-04T12:00:00Z"))
    for number, minute in enumerate([5, 9, 7]):
        last = f"2026-05-04T12:0{minute}:00Z"
        metadata = {"namespace": "team", "name": f"event-{number}"}
        world.api.put(EVENTS, {"metadata": metadata, "lastTimestamp": last, "message": last})

    children = world.run(world.cluster.children_of(a_job_body()))

    assert children.complaint == "2026-05-04T12:09:00Z"


def test_without_the_right_to_read_events_the_operator_continues(world: World) -> None:
    world.cache.remember(Kind.TRAINING_JOB, without_pods("2026-05-04T12:00:00Z"))
    world.api.fail_with = ApiError(403, "Forbidden", "no")

    assert world.run(world.cluster.children_of(a_job_body())).complaint == ""


def without_pods(started: str) -> dict[str, Any]:
    found = made(a_training_job(), resourceVersion="1")
    return {**found, "status": {"startTime": started}}


def test_an_event_that_cannot_be_recorded_stops_nothing(world: World) -> None:
    event = {"metadata": {"namespace": "team", "name": "x"}, "reason": "Failed"}
    world.run(world.cluster.tell(event))
    world.run(world.cluster.tell(event))
    world.api.fail_with = ApiError(403, "Forbidden", "no")

    world.run(world.cluster.tell(event))

    assert world.api.calls == ["create events"] * 3


def test_a_pod_not_yet_reported_by_an_event_delays_the_next_attempt(world: World) -> None:
    world.api.put(PODS, a_pod(phase="Pending"))

    with pytest.raises(Conflict):
        world.run(world.cluster.confirm_none_runs(a_job_body()))

    assert len(world.cache.children_of(KEY).pods) == 1


def test_a_terminating_pod_delays_the_next_attempt_until_it_is_gone(world: World) -> None:
    """Its kubelet would give the next pod the old run document, which has the same name."""
    going = a_pod(phase="Failed")
    going["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    going["metadata"] |= {"deletionGracePeriodSeconds": 600}
    world.api.put(PODS, going)

    with pytest.raises(Conflict):
        world.run(world.cluster.confirm_none_runs(a_job_body()))


def test_a_deleted_pod_held_only_by_a_finalizer_blocks_nothing(world: World) -> None:
    kept = a_pod(phase="Failed")
    kept["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    kept["metadata"] |= {"deletionGracePeriodSeconds": 0, "finalizers": ["audit.example.com/x"]}
    world.api.put(PODS, kept)

    world.run(world.cluster.confirm_none_runs(a_job_body()))


def test_terminated_pods_block_nothing(world: World) -> None:
    world.api.put(PODS, a_pod(phase="Succeeded"))

    world.run(world.cluster.confirm_none_runs(a_job_body()))
