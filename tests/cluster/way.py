# SPDX-License-Identifier: Apache-2.0
"""A proxy to the real API server, with which a test can simulate network faults."""

import asyncio
import queue
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "content-encoding", "host"}


class Way:
    """Passes everything on; a subclass's `handle` changes it."""

    def __init__(
        self,
        upstream: str,
        credentials: ssl.SSLContext,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._upstream = upstream
        self._credentials = credentials
        self._headers = dict(headers or {})
        self._session: aiohttp.ClientSession
        self._loop: asyncio.AbstractEventLoop

    @contextmanager
    def served(self) -> Iterator[str]:
        """Its URL, on this machine only."""
        loop = self._loop = asyncio.new_event_loop()
        addresses: queue.Queue[str] = queue.Queue()
        ended = asyncio.Event()

        def serve() -> None:
            # A runner cancels the remaining tasks when it ends: watches of killed clients never end
            # by themselves.
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(self._serve(addresses.put, ended))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield addresses.get(timeout=30)
        finally:
            loop.call_soon_threadsafe(ended.set)
            thread.join(timeout=30)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raise NotImplementedError

    @asynccontextmanager
    async def ask(self, request: web.Request, body: bytes) -> AsyncIterator[aiohttp.ClientResponse]:
        """The API server's response."""
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP}
        async with self._session.request(
            request.method,
            URL(f"{self._upstream}{request.raw_path}", encoded=True),
            data=body or None,
            skip_auto_headers=("Content-Type",),
            headers=headers | self._headers,
        ) as answer:
            yield answer

    async def pass_on(
        self, request: web.Request, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        headers = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP}
        response = web.StreamResponse(status=answer.status, headers=headers)
        # Disconnected clients need no response.
        with suppress(ConnectionResetError):
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
        return response

    def cut(self, request: web.Request) -> web.Response:
        """Resets the connection."""
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _serve(self, announce: Callable[[str], None], ended: asyncio.Event) -> None:
        application = web.Application(client_max_size=16 * 2**20)
        application.cleanup_ctx.append(self._open_session)
        application.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(application, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        announce(f"http://127.0.0.1:{runner.addresses[0][1]}")
        await ended.wait()
        await runner.cleanup()

    async def _open_session(self, application: web.Application) -> Any:
        connector = aiohttp.TCPConnector(ssl=self._credentials, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as self._session:
            yield


def resource_of(path: str) -> tuple[str, str]:
    """Resource and subresource of an API path."""
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if len(parts) > 2 and parts[0] == "namespaces":
        parts = parts[2:]
    return parts[0] if parts else "", parts[2] if len(parts) > 2 else ""
