# SPDX-License-Identifier: Apache-2.0
"""A way to the real API server on which its client dies: at every write, before and after it."""

import asyncio
import json
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

SPARED = ("leases", "tokenreviews", "subjectaccessreviews", "selfsubjectaccessreviews")
"""They are no step in a job's life, and are repeated all the time."""

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "content-encoding", "host"}


@dataclass(frozen=True, kw_only=True)
class Deaths:
    """At which writes the client has died, and what it has created."""

    before: set[str] = field(default_factory=set)
    after: set[str] = field(default_factory=set)
    created: Counter[str] = field(default_factory=Counter)
    """How many objects of each resource the API server has created."""


@contextmanager
def deadly_api(
    upstream: str, credentials: ssl.SSLContext, kill: Callable[[], None]
) -> Iterator[tuple[str, Deaths]]:
    """The URL of the way, and what has happened on it.

    The first time that a write is tried, the client is killed and the API server never hears of it;
    the next time the API server carries it out, and the client is killed before it hears of that.
    From then on the write goes through.
    """
    deaths = Deaths()
    loop = asyncio.new_event_loop()
    runner, url = loop.run_until_complete(_serve(_Way(upstream, credentials, kill, deaths)))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield url, deaths
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(timeout=30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)


async def _serve(way: "_Way") -> tuple[web.AppRunner, str]:
    application = web.Application(client_max_size=16 * 2**20)
    application.cleanup_ctx.append(way.session)
    application.router.add_route("*", "/{path:.*}", way.handle)
    # The watches of a killed client never end by themselves.
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    return runner, f"http://127.0.0.1:{port}"


class _Way:
    def __init__(
        self, upstream: str, credentials: ssl.SSLContext, kill: Callable[[], None], deaths: Deaths
    ) -> None:
        self._upstream = upstream
        self._credentials = credentials
        self._kill = kill
        self._deaths = deaths
        self._session: aiohttp.ClientSession

    async def session(self, application: web.Application) -> Any:
        connector = aiohttp.TCPConnector(ssl=self._credentials)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as self._session:
            yield

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        write = name_of_write(request.method, request.path, body)
        if write and write not in self._deaths.before:
            self._deaths.before.add(write)
            return self._end(request)
        async with self._session.request(
            request.method,
            f"{self._upstream}{request.path_qs}",
            data=body,
            headers={k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP},
        ) as answer:
            if request.method == "POST" and answer.status == 201:
                self._deaths.created[_resource(request.path)[0]] += 1
            if write and write not in self._deaths.after:
                self._deaths.after.add(write)
                return self._end(request)
            return await self._pass_on(request, answer)

    def _end(self, request: web.Request) -> web.StreamResponse:
        self._kill()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _pass_on(
        self, request: web.Request, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        headers = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP}
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
        return response


def name_of_write(method: str, path: str, body: bytes) -> str | None:
    """What is written, in words that are the same when it is tried again; None for no write.

    A status is named by the phase that it says, since its path is always the same.
    """
    resource, subresource = _resource(path)
    if method == "GET" or resource in SPARED:
        return None
    name = " ".join(filter(None, (method, resource, subresource)))
    if subresource == "status":
        status = json.loads(body).get("status", {})
        return f"{name} {status.get('phase', '')}".rstrip()
    return name


def _resource(path: str) -> tuple[str, str]:
    """Resource and subresource of an API path."""
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if len(parts) > 2 and parts[0] == "namespaces":
        parts = parts[2:]
    return parts[0] if parts else "", parts[2] if len(parts) > 2 else ""
