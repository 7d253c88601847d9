# SPDX-License-Identifier: Apache-2.0
"""Creates jobs at a rate or all at once, and records when the batch Job of each exists."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from benchmarks.peers.sides import Side
from cluster.api_access import access_of
from testbed.control_plane import ControlPlane

AT_ONCE = 20
"""Concurrent creations in a burst."""
_LONG = aiohttp.ClientTimeout(total=None)
_PATIENCE_SECONDS = 300


@dataclass
class Seen:
    """When each job was sent and its batch Job seen, by the job's name."""

    sent: dict[str, float] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)

    def latencies(self) -> list[float]:
        return [self.started[name] - at for name, at in self.sent.items()]


@asynccontextmanager
async def session_of(plane: ControlPlane) -> AsyncIterator[aiohttp.ClientSession]:
    server, credentials = access_of(plane.kubeconfig)
    connector = aiohttp.TCPConnector(ssl=credentials, limit=100)
    async with aiohttp.ClientSession(server, connector=connector) as session:
        yield session


async def get(session: aiohttp.ClientSession, path: str, **asked: str) -> Any:
    """The object or list at this path."""
    async with session.get(path, params=asked) as answer:
        answer.raise_for_status()
        return await answer.json()


async def start_jobs(
    session: aiohttp.ClientSession, side: Side, namespace: str, count: int, rate: float | None
) -> Seen:
    """Creates them at a rate per second or all at once, and waits until each has its batch Job."""
    seen = Seen()
    watch = asyncio.create_task(_watch(session, namespace, seen, count))
    turns = asyncio.Semaphore(AT_ONCE)
    begin, posts = time.monotonic(), []
    for number in range(count):
        if rate is not None:
            await asyncio.sleep(max(0.0, begin + number / rate - time.monotonic()))
        name = f"job-{number}"
        if rate is not None:
            seen.sent[name] = time.monotonic()
        posts.append(asyncio.create_task(_create(session, side, namespace, name, turns, seen)))
    await asyncio.gather(*posts)
    await asyncio.wait_for(watch, timeout=_PATIENCE_SECONDS)
    return seen


async def _create(
    session: aiohttp.ClientSession,
    side: Side,
    namespace: str,
    name: str,
    turns: asyncio.Semaphore,
    seen: Seen,
) -> None:
    async with turns:
        seen.sent.setdefault(name, time.monotonic())
        path = side.resource.format(namespace)
        async with session.post(path, json=side.a_job(name)) as answer:
            if answer.status >= 300:
                raise RuntimeError(f"{path}: {answer.status} {await answer.text()}")


async def _watch(session: aiohttp.ClientSession, namespace: str, seen: Seen, count: int) -> None:
    """A Job belongs to its job, or to a JobSet of the job's name."""
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    async for _, job in watched(session, path):
        owner = job["metadata"]["ownerReferences"][0]["name"]
        seen.started.setdefault(owner, time.monotonic())
        if len(seen.started) == count:
            return


async def watched(
    session: aiohttp.ClientSession, path: str
) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """The events of these objects, including existing ones."""
    asked = {"watch": "true", "timeoutSeconds": "3600"}
    async with session.get(path, params=asked, timeout=_LONG) as answer:
        answer.raise_for_status()
        rest = b""
        # Not by lines: one of them may be longer than the client's read buffer.
        async for piece in answer.content.iter_any():
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                event = json.loads(line)
                yield event["type"], event["object"]
