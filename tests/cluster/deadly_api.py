# SPDX-License-Identifier: Apache-2.0
"""A way to the real API server on which its client dies: at every write, before and after it."""

import asyncio
import json
import queue
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

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
    way = _Way(upstream, credentials, kill, deaths)
    loop = asyncio.new_event_loop()
    addresses: queue.Queue[str] = queue.Queue()
    ended = asyncio.Event()

    def serve() -> None:
        # A runner cancels what is left when it ends: watches of killed clients never end alone.
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(_serve(way, addresses.put, ended))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield addresses.get(timeout=30), deaths
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(timeout=30)


async def _serve(way: "_Way", announce: Callable[[str], None], ended: asyncio.Event) -> None:
    application = web.Application(client_max_size=16 * 2**20)
    application.cleanup_ctx.append(way.session)
    application.router.add_route("*", "/{path:.*}", way.handle)
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    announce(f"http://127.0.0.1:{runner.addresses[0][1]}")
    await ended.wait()
    await runner.cleanup()


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
            URL(f"{self._upstream}{request.raw_path}", encoded=True),
            data=body or None,
            skip_auto_headers=("Content-Type",),
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
