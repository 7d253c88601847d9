# SPDX-License-Identifier: Apache-2.0
"""Limits connections to a server: each must send a request soon, and each peer has a maximum share.

aiohttp itself waits forever for the end of a first request's headers.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any, cast

HEADERS_SECONDS = 5.0
HANDSHAKE_SECONDS = 5.0
KEEP_ALIVE_SECONDS = 120.0
"""Longer than the API server's 90, so the API server closes first."""
MOST_OF_A_PEER = 128
MOST = 1024


class Connections:
    """Creates the protocols of a server's connections, and closes connections beyond the limit."""

    def __init__(
        self,
        make: Callable[[], Any],
        *,
        headers_seconds: float = HEADERS_SECONDS,
        most_of_a_peer: int = MOST_OF_A_PEER,
        most: int = MOST,
    ) -> None:
        self._make = make
        self._headers_seconds = headers_seconds
        self._most_of_a_peer = most_of_a_peer
        self._most = most
        self._peers: defaultdict[str, list[asyncio.Transport]] = defaultdict(list)
        self._peer_of: dict[asyncio.BaseTransport, str] = {}
        """The transport at its start: with TLS, an ended connection no longer has it."""
        self._waiting: dict[asyncio.BaseTransport, asyncio.TimerHandle] = {}

    def __call__(self) -> asyncio.Protocol:
        return _Counted(self, self._make())

    def note_request(self, transport: asyncio.BaseTransport | None) -> None:
        """Records that the headers of a request have arrived."""
        if transport is not None and (timer := self._waiting.pop(transport, None)) is not None:
            timer.cancel()

    def open(self, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        peer = self._peer_of[transport] = _peer_of(transport)
        ours = self._peers[peer]
        ours.append(transport)
        self._waiting[transport] = loop.call_later(self._headers_seconds, transport.abort)
        if len(ours) > self._most_of_a_peer:
            transport.abort()
        elif sum(map(len, self._peers.values())) > self._most:
            # The peer with the most connections loses one, so a few peers cannot block all others.
            max(self._peers.values(), key=len)[-1].abort()

    def close(self, transport: asyncio.Transport) -> None:
        self.note_request(transport)
        peer = self._peer_of.pop(transport)
        self._peers[peer].remove(transport)
        if not self._peers[peer]:
            del self._peers[peer]


class _Counted(asyncio.Protocol):
    """The server's own protocol, with notice of its start and end."""

    def __init__(self, connections: Connections, inner: Any) -> None:
        self._connections = connections
        self._inner = inner
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._inner.connection_made(transport)
        self._connections.open(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._connections.close(self._transport)
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        told: bool | None = self._inner.eof_received()
        return told

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


def _peer_of(transport: asyncio.Transport) -> str:
    name = transport.get_extra_info("peername")
    return str(name[0]) if name else ""
