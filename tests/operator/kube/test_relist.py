# SPDX-License-Identifier: Apache-2.0
import asyncio

import pytest

from finetune_operator.kube.cache import Kind, Memory
from finetune_operator.kube.client import ApiError
from finetune_operator.kube.relist import fill_memory, forget_vanished, is_defined
from finetune_operator.objects.names import JobKey
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


def test_memory_is_warm_after_the_first_lists() -> None:
    memory = Memory()

    asyncio.run(fill_memory(a_filled_api(), memory))

    assert memory.find_job(KEY) is not None
    assert [len(memory.children_of(KEY).training_jobs), len(memory.children_of(KEY).pods)] == [1, 1]


def test_what_vanished_without_an_event_is_forgotten_and_its_job_looked_at() -> None:
    api, memory = a_filled_api(), Memory()
    asyncio.run(fill_memory(api, memory))
    api.objects.pop((Kind.TRAINING_JOB.resource, "team", "balloon-1"))

    assert asyncio.run(forget_vanished(api, memory)) == {KEY}
    assert memory.children_of(KEY).training_jobs == ()
    assert len(memory.children_of(KEY).pods) == 1


def test_a_relist_of_an_unchanged_world_concerns_nobody() -> None:
    api, memory = a_filled_api(), Memory()
    asyncio.run(fill_memory(api, memory))

    assert asyncio.run(forget_vanished(api, memory)) == set()


def test_only_watched_namespaces_are_listed() -> None:
    api, memory = a_filled_api(), Memory()
    asyncio.run(fill_memory(api, memory, ["other-team"]))
    assert list(memory.known_keys()) == []
    asyncio.run(fill_memory(api, memory, ["other-team", "team"]))
    assert set(memory.known_keys()) == {KEY}


def test_jobs_do_not_wait_for_the_definition_of_schedules() -> None:
    memory, undefined = Memory(), ApiError(404, "", "404 page not found")
    api = a_filled_api()
    api.fail_list = {Kind.SCHEDULE.resource: undefined}

    asyncio.run(fill_memory(api, memory))

    assert memory.find_job(KEY) is not None
    assert asyncio.run(is_defined(api, Kind.JOB))
    assert not asyncio.run(is_defined(api, Kind.SCHEDULE))


@pytest.mark.parametrize(("kind", "status"), [(Kind.JOB, 404), (Kind.SCHEDULE, 403)])
def test_anything_else_is_waited_for(kind: Kind, status: int) -> None:
    api = a_filled_api()
    api.fail_list = {kind.resource: ApiError(status, "", "not now")}

    with pytest.raises(ApiError, match="not now"):
        asyncio.run(fill_memory(api, Memory()))
