# SPDX-License-Identifier: Apache-2.0
"""A peer that sends half a body, or a large one, blocks no others and fills no memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from finetune_operator.inbound.bodies import Bodies, BodyGaveWay, BodyTooLarge


async def sent(*chunks: bytes, then: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if then is not None:
        await then.wait()


async def read(bodies: Bodies, peer: str, chunks: AsyncIterator[bytes]) -> bytes:
    async with bodies.reading(peer, chunks) as body:
        return body


def play(scene: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scene())


def test_any_number_of_incomplete_bodies_delays_no_other_request() -> None:
    async def scene() -> None:
        bodies = Bodies(most_bytes=100, most_bytes_together=1000, seconds=3600)
        never = asyncio.Event()
        halves = [
            asyncio.create_task(read(bodies, f"10.0.0.{n}", sent(b"{", then=never)))
            for n in range(200)
        ]
        await asyncio.sleep(0)

        assert await read(bodies, "api-server", sent(b"{", b"}")) == b"{}"
        assert not any(half.done() for half in halves)
        for half in halves:
            half.cancel()

    play(scene)


def test_the_peer_that_has_sent_the_most_is_refused_and_no_other() -> None:
    async def scene() -> None:
        bodies = Bodies(most_bytes=100, most_bytes_together=250, seconds=3600)
        never = asyncio.Event()
        greedy = [
            asyncio.create_task(read(bodies, "greedy", sent(b"x" * 90, then=never)))
            for _ in range(2)
        ]
        small = asyncio.create_task(read(bodies, "small", sent(b"x" * 40, then=never)))
        await asyncio.sleep(0)

        assert await read(bodies, "api-server", sent(b"y" * 50)) == b"y" * 50
        done, _ = await asyncio.wait(greedy, return_when=asyncio.FIRST_COMPLETED)
        assert [type(task.exception()) for task in done] == [BodyGaveWay]
        assert not small.done()
        for task in (*greedy, small):
            task.cancel()

    play(scene)


def test_received_bytes_count_only_until_they_are_released() -> None:
    async def scene() -> None:
        bodies = Bodies(most_bytes=100, most_bytes_together=150, seconds=3600)
        async with bodies.reading("a", sent(b"x" * 100)):
            with pytest.raises(BodyGaveWay):
                await read(bodies, "b", sent(b"x" * 60))
        assert len(await read(bodies, "b", sent(b"x" * 60))) == 60

    play(scene)


def test_a_missing_or_endless_body_is_refused_in_one_sentence() -> None:
    async def scene() -> None:
        late = Bodies(most_bytes=100, most_bytes_together=100, seconds=0)
        with pytest.raises(TimeoutError, match="did not arrive within 0 s"):
            await read(late, "a", sent(b"{", then=asyncio.Event()))
        bodies = Bodies(most_bytes=100, most_bytes_together=1000, seconds=3600)
        with pytest.raises(BodyTooLarge, match="more than 100 bytes"):
            await read(bodies, "a", sent(*[b"x" * 60] * 2))

    play(scene)
