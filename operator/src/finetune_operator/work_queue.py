# SPDX-License-Identifier: Apache-2.0
"""The work queue: each key once, never two workers on one key, delays, exponential backoff.

What arrives for a key while it is worked on is worked on afterwards, once. No I/O here.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

FIRST_BACKOFF = timedelta(milliseconds=100)
LONGEST_BACKOFF = timedelta(seconds=30)
"""How long a job may wait on after what hindered it has ended."""


class WorkQueue(Generic[Key]):
    """Of keys, since by the time it is worked on an event's content is old."""

    def __init__(self) -> None:
        self._ready: deque[Key] = deque()
        self._waiting: set[Key] = set()
        """Keys that are in `_ready`, or will be when their worker is done."""
        self._worked_on: dict[Key, float] = {}
        """Since when, in the event loop's time."""
        self._delayed: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._arrival = asyncio.Event()

    def add(self, key: Key) -> None:
        """To be worked on now, or as soon as its worker is done."""
        self._cancel_delay(key)
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._worked_on:
            self._ready.append(key)
            self._arrival.set()

    def add_after(self, key: Key, delay: timedelta) -> None:
        """To be worked on after this; of two delays the shorter holds."""
        loop = asyncio.get_running_loop()
        due = loop.time() + delay.total_seconds()
        known = self._delayed.get(key)
        if known is not None and known.when() <= due:
            return
        self._cancel_delay(key)
        self._delayed[key] = loop.call_at(due, self.add, key)

    def retry(self, key: Key) -> timedelta:
        """To be worked on again after a backoff that doubles until `forget_failures`."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # The exponent is bounded, or a long outage would overflow.
        delay = min(FIRST_BACKOFF * (1 << min(failures, 20)), LONGEST_BACKOFF)
        self.add_after(key, delay)
        return delay

    def failures(self, key: Key) -> int:
        """How many tries in a row have failed."""
        return self._failures.get(key, 0)

    def forget_failures(self, key: Key) -> None:
        self._failures.pop(key, None)

    @asynccontextmanager
    async def take(self) -> AsyncIterator[Key]:
        """The next key, which nobody else gets until the block ends."""
        while not self._ready:
            self._arrival.clear()
            await self._arrival.wait()
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._worked_on[key] = asyncio.get_running_loop().time()
        try:
            yield key
        finally:
            del self._worked_on[key]
            if key in self._waiting:
                self._ready.append(key)
                self._arrival.set()

    def depth(self) -> int:
        """How many keys wait for a worker; delayed ones are not due yet."""
        return len(self._waiting)

    def longest_work(self) -> timedelta:
        """For how long the slowest worker has been at its key."""
        now = asyncio.get_running_loop().time()
        since = min(self._worked_on.values(), default=now)
        return timedelta(seconds=now - since)

    def _cancel_delay(self, key: Key) -> None:
        if (handle := self._delayed.pop(key, None)) is not None:
            handle.cancel()
