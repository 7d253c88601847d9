# SPDX-License-Identifier: Apache-2.0
"""A server of ours on a port, with limits on connections."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web

from finetune_operator.inbound.connections import (
    HANDSHAKE_SECONDS,
    HEADERS_SECONDS,
    KEEP_ALIVE_SECONDS,
    Connections,
)


class Listener:
    """Listens from `start` to `stop`."""

    def __init__(
        self,
        app: web.Application,
        address: str,
        port: int,
        context: ssl.SSLContext | None = None,
        *,
        shutdown_seconds: float = 60.0,
        headers_seconds: float = HEADERS_SECONDS,
    ) -> None:
        self._runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=shutdown_seconds,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
        )
        self._headers_seconds = headers_seconds
        app.middlewares.append(self._note_request)
        self._address, self._port, self._context = address, port, context
        self._server: asyncio.Server | None = None
        self._connections: Connections

    @property
    def port(self) -> int:
        """The port in use, also when 0 (any port) was requested."""
        if self._server is None:
            raise RuntimeError("the server is not listening yet")
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        await self._runner.setup()
        if (server := self._runner.server) is None:
            raise RuntimeError("aiohttp set up no server")
        connections = Connections(server, headers_seconds=self._headers_seconds)
        self._connections = connections
        self._server = await asyncio.get_running_loop().create_server(
            connections,
            self._address,
            self._port,
            ssl=self._context,
            ssl_handshake_timeout=None if self._context is None else HANDSHAKE_SECONDS,
            backlog=128,
        )

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    @web.middleware
    async def _note_request(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        self._connections.note_request(request.transport)
        return await handler(request)
