# SPDX-License-Identifier: Apache-2.0
"""Any pod in the cluster can send reviews: none takes much memory when it is parsed, and several
large ones leave time for everything else.
"""

import asyncio
import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from finetune_operator.objects.raw import Body
from finetune_operator.webhook import server as server_module
from finetune_operator.webhook.server import (
    LARGE_BODY_BYTES,
    MAX_BODY_BYTES,
    MOST_HOLDERS,
    PATH,
    build_webhook_app,
)
from support.factories import CONFIG, SETTINGS, a_job_body


def a_review(**config: Any) -> dict[str, Any]:
    return {
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "1",
            "kind": {"kind": "FineTuneJob"},
            "operation": "CREATE",
            "object": a_job_body(config={**CONFIG, **config}),
        },
    }


def body_of(unit: str, size: int = MAX_BODY_BYTES - 1024) -> bytes:
    """A review whose object is a list of as many of these as fit."""
    items = ",".join([unit] * (size // (len(unit) + 1)))
    return f'{{"request": {{"uid": "1", "object": [{items}]}}}}'.encode()


async def wait_for_ever(body: Body) -> Mapping[str, Any] | None:
    await asyncio.Event().wait()
    return None


async def post(*bodies: bytes, find_model: Any = wait_for_ever) -> list[tuple[int, str]]:
    """The answers to reviews that are sent at the same time."""
    runner = web.AppRunner(build_webhook_app(SETTINGS, find_model))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]

    async def send(session: aiohttp.ClientSession, body: bytes) -> tuple[int, str]:
        async with session.post(f"http://{host}:{port}{PATH}", data=body) as answer:
            return answer.status, await answer.text()

    try:
        async with aiohttp.ClientSession() as session:
            return list(await asyncio.gather(*(send(session, body) for body in bodies)))
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("unit", ["{}", "[]", "[[]]", '{"a":{}}', "[[[[[]]]]]", '[{"a":[]}]'])
def test_a_body_of_small_values_is_refused_before_it_is_parsed(
    unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []
    monkeypatch.setattr(server_module, "parse_json", parsed.append)

    ((status, said),) = asyncio.run(post(body_of(unit)))

    assert (status, parsed) == (413, [])
    assert f"more than {MOST_HOLDERS} objects and lists" in said


def test_large_reviews_are_answered_one_after_another_and_without_a_hub(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns, parsed_in = 0, []
    parse = server_module.parse_json

    def parse_json(body: bytes) -> Any:
        parsed_in.append(turns)
        return parse(body)

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def scene() -> list[tuple[int, str]]:
        counting = asyncio.create_task(count_turns())
        text = json.dumps(a_review(env={f"A{it}": "x" * 1000 for it in range(400)})).encode()
        assert len(text) > LARGE_BODY_BYTES
        try:
            return await post(*[text] * 8)
        finally:
            counting.cancel()

    monkeypatch.setattr(server_module, "parse_json", parse_json)
    answers = asyncio.run(scene())

    assert [status for status, _ in answers] == [200] * 8
    assert all(json.loads(said)["response"]["allowed"] for _, said in answers)
    assert len(parsed_in) == 8
    assert all(later > earlier + 1 for earlier, later in pairwise(parsed_in))
