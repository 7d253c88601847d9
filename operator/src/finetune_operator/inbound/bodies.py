# SPDX-License-Identifier: Apache-2.0
"""Bodies of requests that are being read: bounded in bytes all together, and each in time.

Only bytes that have come count, so that whoever has sent half a body keeps nobody waiting. When all
together are too much, the peer that has sent most gives way.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


class BodyTooLarge(ValueError):
    """One body is larger than any may be."""


class BodyGaveWay(Exception):
    """There are too many bytes at a time, most of them of this peer."""


@dataclass(slots=True, eq=False, kw_only=True)
class _Reading:
    peer: str
    deadline: asyncio.Timeout
    body: bytearray = field(default_factory=bytearray)
    gave_way: bool = False


class Bodies:
    """The bodies of one server."""

    def __init__(self, *, most_bytes: int, most_bytes_together: int, seconds: float) -> None:
        self._most_bytes = most_bytes
        self._most_bytes_together = most_bytes_together
        self._seconds = seconds
        self._bytes_of: Counter[str] = Counter()
        self._readings: list[_Reading] = []

    @asynccontextmanager
    async def reading(self, peer: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The whole body, which counts until it is let go of.

        Raises:
            BodyTooLarge, BodyGaveWay: see there.
            TimeoutError: it did not come in time.
        """
        reading = _Reading(peer=peer, deadline=asyncio.timeout(self._seconds))
        self._readings.append(reading)
        try:
            await self._read(reading, chunks)
            # What is whole is not given up: it is answered next.
            self._readings.remove(reading)
            yield bytes(reading.body)
        finally:
            if reading in self._readings:
                self._readings.remove(reading)
            self._bytes_of[peer] -= len(reading.body)
            self._bytes_of += Counter()

    async def _read(self, reading: _Reading, chunks: AsyncIterator[bytes]) -> None:
        try:
            async with reading.deadline:
                async for chunk in chunks:
                    reading.body += chunk
                    self._bytes_of[reading.peer] += len(chunk)
                    if len(reading.body) > self._most_bytes:
                        raise BodyTooLarge(f"the body has more than {self._most_bytes} bytes")
                    self._make_room(reading)
        except TimeoutError:
            if reading.gave_way:
                raise BodyGaveWay("too much data in flight; send it again later") from None
            raise TimeoutError(f"the body did not arrive within {self._seconds:g} s") from None

    def _make_room(self, newest: _Reading) -> None:
        while self._bytes_of.total() > self._most_bytes_together:
            largest = max(
                self._readings,
                key=lambda it: (self._bytes_of[it.peer], len(it.body)),
            )
            self._bytes_of[largest.peer] -= len(largest.body)
            largest.body.clear()
            largest.gave_way = True
            if largest is newest:
                raise BodyGaveWay("too much data in flight; send it again later")
            self._readings.remove(largest)
            largest.deadline.reschedule(asyncio.get_running_loop().time())
