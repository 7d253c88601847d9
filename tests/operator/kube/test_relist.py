# SPDX-License-Identifier: Apache-2.0
import asyncio

import pytest

from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.kube.client import ApiError
from finetune_operator.kube.relist import fill_cache, forget_vanished, is_defined
from finetune_operator.objects.names import JobKey
from finetune_operator.telemetry.logs import OneLine
from support.factories import a_job_body, a_pod, a_training_job
from support.fake_api import FakeApi

KEY = JobKey(namespace="team", label="balloon")


def a_filled_api() -> FakeApi:
    api = FakeApi()
    for kind, body in (
        (Kind.JOB, a_job_body()),
        (Kind.TRAINING_JOB, a_training_job()),
        (Kind.POD, a_pod()),
    ):
        api.put(kind.resource, body)
    return api


def test_the_cache_is_warm_after_the_first_lists() -> None:
    cache = ObjectCache()

    asyncio.run(fill_cache(a_filled_api(), cache))

    assert cache.find_job(KEY) is not None
    assert [len(cache.children_of(KEY).training_jobs), len(cache.children_of(KEY).pods)] == [1, 1]


def test_an_object_that_vanished_without_an_event_is_forgotten_and_its_job_queued() -> None:
    api, cache = a_filled_api(), ObjectCache()
    asyncio.run(fill_cache(api, cache))
    api.objects.pop((Kind.TRAINING_JOB.resource, "team", "balloon-1"))

    assert asyncio.run(forget_vanished(api, cache)) == {KEY}
    assert cache.children_of(KEY).training_jobs == ()
    assert len(cache.children_of(KEY).pods) == 1


def test_a_relist_of_unchanged_objects_queues_nothing() -> None:
    api, cache = a_filled_api(), ObjectCache()
    asyncio.run(fill_cache(api, cache))

    assert asyncio.run(forget_vanished(api, cache)) == set()


def test_only_watched_namespaces_are_listed() -> None:
    api, cache = a_filled_api(), ObjectCache()
    asyncio.run(fill_cache(api, cache, ["other-team"]))
    assert list(cache.known_keys()) == []
    asyncio.run(fill_cache(api, cache, ["other-team", "team"]))
    assert set(cache.known_keys()) == {KEY}


def test_jobs_do_not_wait_for_the_schedule_definition() -> None:
    cache, undefined = ObjectCache(), ApiError(404, "", "404 page not found")
    api = a_filled_api()
    api.fail_list = {Kind.SCHEDULE.resource: undefined}

    asyncio.run(fill_cache(api, cache))

    assert cache.find_job(KEY) is not None
    assert asyncio.run(is_defined(api, Kind.JOB))
    assert not asyncio.run(is_defined(api, Kind.SCHEDULE))


@pytest.mark.parametrize(("kind", "status"), [(Kind.JOB, 404), (Kind.SCHEDULE, 403)])
def test_every_other_definition_is_waited_for(kind: Kind, status: int) -> None:
    api = a_filled_api()
    api.fail_list = {kind.resource: ApiError(status, "", "not now")}

    with pytest.raises(ApiError, match="not now"):
        asyncio.run(fill_cache(api, ObjectCache()))


@pytest.mark.parametrize("broken", [{"resourceVersion": "x"}, {"labels": {}}, {"labels": None}])
def test_one_unreadable_object_does_not_hide_others(
    broken: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    api, cache = a_filled_api(), ObjectCache()
    hostile = a_pod()
    hostile["metadata"]["name"] = "hostile"
    api.put(Kind.POD.resource, hostile)
    api.objects[Kind.POD.resource, "team", "hostile"]["metadata"] |= broken

    asyncio.run(fill_cache(api, cache))

    assert cache.find_job(KEY) is not None
    names = [pod["metadata"]["name"] for pod in cache.children_of(KEY).pods]
    assert len(names) >= 1
    assert "hostile" not in names
    assert any("team/hostile" in OneLine().format(record) for record in caplog.records)
