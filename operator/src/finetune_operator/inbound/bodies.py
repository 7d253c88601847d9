# SPDX-License-Identifier: Apache-2.0
"""Limits request bodies that are being read: bytes in total, and time per body.

Only received bytes count, so a peer that has sent half a body blocks nobody else. If the total is
too large, the reading of the peer with the most bytes is cancelled.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


class BodyTooLarge(ValueError):
    """A body is larger than the limit for one body, or would be when it is parsed."""


class BodyGaveWay(Exception):
    """The total of bytes is too large, and this peer has the most of them."""


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
        """The complete body, which counts until it is released.

        Raises:
            BodyTooLarge, BodyGaveWay: see their docstrings.
            TimeoutError: the body did not arrive in time.
        """
        reading = _Reading(peer=peer, deadline=asyncio.timeout(self._seconds))
        self._readings.append(reading)
        try:
            await self._read(reading, chunks)
            # A complete body is never cancelled: its request is answered next.
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
