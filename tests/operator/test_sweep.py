# SPDX-License-Identifier: Apache-2.0
import asyncio

from factories import a_job_body, a_pod, a_training_job
from fake_api import FakeApi
from finetune_operator.memory import Kind, Memory
from finetune_operator.naming import JobKey
from finetune_operator.sweep import fill_memory, forget_vanished

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


def test_sweep_of_an_unchanged_world_concerns_nobody() -> None:
    api, memory = a_filled_api(), Memory()
    asyncio.run(fill_memory(api, memory))

    assert asyncio.run(forget_vanished(api, memory)) == set()


def test_only_watched_namespaces_are_listed() -> None:
    api, memory = a_filled_api(), Memory()
    asyncio.run(fill_memory(api, memory, ["other-team"]))
    assert list(memory.known_keys()) == []
    asyncio.run(fill_memory(api, memory, ["other-team", "team"]))
    assert set(memory.known_keys()) == {KEY}
