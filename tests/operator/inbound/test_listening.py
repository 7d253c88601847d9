# SPDX-License-Identifier: Apache-2.0
"""Connections over real sockets on 127.0.0.0/8: silent or slow ones are closed."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from finetune_operator.inbound import listening
from finetune_operator.inbound.connections import Connections
from finetune_operator.inbound.listening import Listener

WHOLE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


async def connect(port: int, peer: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(peer, 0))


async def ask(port: int, peer: str = "127.0.0.1") -> bytes:
    """The first line of the response; empty if there is none."""
    reader, writer = await connect(port, peer)
    try:
        writer.write(WHOLE)
        return await reader.readline()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def ends(reader: asyncio.StreamReader) -> None:
    """Returns when the server has closed the connection."""
    try:
        assert await reader.read() == b""
    except ConnectionError:
        return


def serve(scene: Callable[[int], Awaitable[None]], **bounds: float) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def play() -> None:
        app = web.Application()
        app.router.add_get("/healthz", answer)
        listener = Listener(app, "127.0.0.1", 0, shutdown_seconds=1, **bounds)
        await listener.start()
        try:
            await scene(listener.port)
        finally:
            await listener.stop()

    asyncio.run(play())


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"POST / HT", id="half a line"),
        pytest.param(WHOLE[:-2], id="headers without an end"),
    ],
)
def test_a_client_that_does_not_finish_its_headers_is_disconnected(said: bytes) -> None:
    async def scene(port: int) -> None:
        reader, writer = await connect(port, "127.0.0.1")
        writer.write(said)
        await ends(reader)
        writer.close()

    serve(scene, headers_seconds=0.05)


def test_an_answered_connection_may_stay_idle_until_its_next_request() -> None:
    async def scene(port: int) -> None:
        reader, writer = await connect(port, "127.0.0.1")
        silent, other = await connect(port, "127.0.0.1")
        writer.write(WHOLE)
        assert b"200" in await reader.readline()
        # The silent one was closed: the other's time would be over, too.
        await ends(silent)
        writer.write(WHOLE)
        assert b"200" in (await reader.readuntil(b"HTTP/1.1 200"))
        for each in (writer, other):
            each.close()

    serve(scene, headers_seconds=0.1)


def test_a_peer_that_opens_too_many_connections_blocks_only_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def few(make: Callable[[], object], *, headers_seconds: float) -> Connections:
        return Connections(make, headers_seconds=headers_seconds, most_of_a_peer=3, most=5)

    monkeypatch.setattr(listening, "Connections", few)

    async def scene(port: int) -> None:
        opened = [await connect(port, "127.0.0.2") for _ in range(3)]
        assert await ask(port, "127.0.0.2") == b""
        opened += [await connect(port, "127.0.0.3") for _ in range(2)]

        # All five are taken: the peer with most loses one.
        assert b"200" in await ask(port, "127.0.0.1")
        for _, writer in opened:
            writer.close()

    serve(scene, headers_seconds=3600)
