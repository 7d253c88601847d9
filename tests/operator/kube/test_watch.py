# SPDX-License-Identifier: Apache-2.0
"""kopf's own client with the session of the watches: objects reach the replica, bookmarks kopf."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import kopf
import pytest
from aiohttp import ClientSession, web
from kopf._cogs.clients import api, auth
from kopf._cogs.structs.credentials import Vault, VaultKey

from finetune_operator.kube.cache import Kind
from finetune_operator.kube.watch import response_class
from finetune_operator.runtime.replica import Replica
from finetune_operator.telemetry.metrics import REGISTRY
from support.factories import SETTINGS, a_job_body, a_pod, a_training_job
from support.served import served
from support.watched import Received

Call = Callable[[], Awaitable[list[Any]]]


def asked_by_kopf(answer: str, call: Call, received: Received) -> list[Any]:
    """What kopf receives of an answer that arrives in chunks of 1,000 bytes."""
    told: list[Any] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for start in range(0, len(answer), 1000):
            await response.write(answer[start : start + 1000].encode())
        return response

    async def scene(server: str) -> None:
        session = ClientSession(response_class=response_class(received))
        access = kopf.AiohttpSession(server=server, aiohttp_session=session)
        token = auth.vault_var.set(Vault({VaultKey("test"): access}))
        told.extend(await call())
        auth.vault_var.reset(token)
        await session.close()

    asyncio.run(served(handle, scene))
    return told


WITH = {"settings": kopf.OperatorSettings(), "logger": logging.getLogger("test")}


async def watch() -> list[Any]:
    return [event async for event in api.stream("/watch", **WITH)]


async def ask() -> list[Any]:
    return [await api.get("/list", **WITH)]


def a_line(type_: str, body: Any) -> str:
    return json.dumps({"type": type_, "object": body}) + "\n"


def versioned(body: Any, version: str, **more: Any) -> Any:
    return {**body, **more, "metadata": {**body["metadata"], "resourceVersion": version}}


def a_bookmark(version: str) -> dict[str, Any]:
    return {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}}


JOB = versioned(a_job_body(), "7", kind="FineTuneJob")


def test_each_object_of_a_watch_reaches_the_replica_in_order_and_kopf_only_its_version() -> None:
    received = Received()
    lines = (
        a_line("ADDED", JOB),
        a_line("MODIFIED", versioned(a_training_job(), "8", kind="Job")),
        a_line("ADDED", versioned(a_pod(), "9", kind="Pod")),
        "\n",
        a_line("DELETED", versioned(JOB, "10")),
        '{"type":"ADDED","obj',
    )

    told = asked_by_kopf("".join(lines), watch, received)

    assert received.objects == [
        (Kind.JOB, "balloon", False),
        (Kind.TRAINING_JOB, "balloon-1", False),
        (Kind.POD, "balloon-1-abcde", False),
        (Kind.JOB, "balloon", True),
    ]
    assert told == [a_bookmark(version) for version in ("7", "8", "9", "10")]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}},
        {"type": "BOOKMARK", "object": {**a_bookmark("7")["object"], "kind": "FineTuneJob"}},
        {"type": "ADDED", "object": {"kind": "Namespace", "metadata": {"name": "team"}}},
    ],
)
def test_kopf_receives_all_other_events_unchanged(event: dict[str, Any]) -> None:
    received = Received()

    told = asked_by_kopf(a_line(type_=event["type"], body=event["object"]), watch, received)

    assert (told, received.objects) == ([event], [])


def test_the_items_of_a_list_reach_the_replica_and_its_version_kopf() -> None:
    received, metadata = Received(), {"resourceVersion": "12", "continue": "next"}
    page = {"kind": "FineTuneJobList", "metadata": metadata, "items": [JOB, a_job_body("kite")]}

    (told,) = asked_by_kopf(json.dumps(page), ask, received)

    assert [name for _, name, _ in received.objects] == ["balloon", "kite"]
    assert told == {**page, "items": []}


@pytest.mark.parametrize(("token", "ends"), [("next", 0), ("", 1), (None, 1)])
def test_the_last_page_of_a_list_ends_it_even_if_it_is_empty(token: str | None, ends: int) -> None:
    received, metadata = Received(), {} if token is None else {"continue": token}

    asked_by_kopf(json.dumps({"kind": "PodList", "metadata": metadata, "items": []}), ask, received)

    assert received.lists == ends


@pytest.mark.parametrize("answer", ['"unavailable"', "[]"])
def test_any_json_of_a_proxy_reaches_kopf(answer: str) -> None:
    assert asked_by_kopf(answer, ask, Received()) == [json.loads(answer)]


def test_kopf_reads_the_kinds_of_the_server_itself() -> None:
    received, kinds = Received(), {"kind": "APIResourceList", "resources": [{"name": "pods"}]}

    assert asked_by_kopf(json.dumps(kinds), ask, received) == [kinds]
    assert (received.objects, received.lists) == ([], 0)


@pytest.mark.parametrize("levels", [850, 1100, 9000])
def test_a_watch_continues_after_a_deeply_nested_job(levels: int) -> None:
    received = Received()
    hostile = json.dumps({**versioned(JOB, "3"), "deep": "HERE"})
    deep = hostile.replace('"HERE"', '{"a":' * levels + "1" + "}" * levels)

    told = asked_by_kopf(
        f'{{"type":"ADDED","object":{deep}}}\n' + a_line("ADDED", JOB), watch, received
    )

    assert [kind for kind, _, _ in received.objects] == [Kind.JOB, Kind.JOB]
    assert told == [a_bookmark("3"), a_bookmark("7")]


@pytest.mark.parametrize(
    "metadata", [{}, {"uid": "x"}, {"uid": "x", "namespace": "team", "labels": {}}, None]
)
def test_an_object_that_cannot_be_cached_is_counted_and_ends_no_watch(metadata: Any) -> None:
    def count() -> float:
        labels = {"kind": "pods", "where": "watch"}
        return REGISTRY.get_sample_value("finetune_operator_skipped_objects_total", labels) or 0

    before = count()
    Replica(SETTINGS).notice(Kind.POD, {"metadata": metadata}, is_gone=False)

    assert count() == before + 1
