# SPDX-License-Identifier: Apache-2.0
"""The work queue: each key once, never two workers on one key, delays, exponential backoff.

A key that is added while it is being processed is processed once more. No I/O here.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

Key = TypeVar("Key", bound=Hashable)

FIRST_BACKOFF = timedelta(milliseconds=100)
LONGEST_BACKOFF = timedelta(seconds=30)
"""The longest time that a job may wait after its obstacle has disappeared."""


class QueueMeter(Protocol):
    """The metrics of a queue, as defined by client-go's work queue."""

    def note_add(self) -> None:
        """A key was added that was not waiting already."""

    def note_retry(self) -> None:
        """A key is processed again because its processing failed."""

    def note_taken(self, waited: float) -> None:
        """A worker got a key that had waited for this many seconds."""

    def note_done(self, worked: float) -> None:
        """A worker has finished a key after this many seconds."""


class Unmetered:
    """Records nothing."""

    def note_add(self) -> None: ...
    def note_retry(self) -> None: ...
    def note_taken(self, waited: float) -> None: ...
    def note_done(self, worked: float) -> None: ...


class WorkQueue(Generic[Key]):
    """A queue of keys, because an event's content is outdated by the time it is processed."""

    def __init__(
        self, meter: QueueMeter | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._meter = meter or Unmetered()
        self._clock = clock
        self._ready: deque[Key] = deque()
        self._waiting: dict[Key, float] = {}
        """Keys that are in `_ready`, or will be when their worker is done; with the time they were
        added.
        """
        self._worked_on: dict[Key, float] = {}
        """The start time of each, by the clock."""
        self._delayed: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._arrival = asyncio.Event()

    def add(self, key: Key) -> None:
        """Adds a key for now, or for when its current worker is done."""
        self._cancel_delay(key)
        if key in self._waiting:
            return
        self._waiting[key] = self._clock()
        self._meter.note_add()
        if key not in self._worked_on:
            self._ready.append(key)
            self._arrival.set()

    def add_after(self, key: Key, delay: timedelta) -> None:
        """Adds a key after a delay; the shorter of two delays applies."""
        loop = asyncio.get_running_loop()
        due = loop.time() + delay.total_seconds()
        known = self._delayed.get(key)
        if known is not None and known.when() <= due:
            return
        self._cancel_delay(key)
        self._delayed[key] = loop.call_at(due, self.add, key)

    def retry(self, key: Key) -> timedelta:
        """Adds a key again after a backoff that doubles until `forget_failures`."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # The exponent is bounded, or a long outage would overflow.
        delay = min(FIRST_BACKOFF * (1 << min(failures, 20)), LONGEST_BACKOFF)
        self._meter.note_retry()
        self.add_after(key, delay)
        return delay

    def failures(self, key: Key) -> int:
        """How many tries in a row have failed."""
        return self._failures.get(key, 0)

    def forget_failures(self, key: Key) -> None:
        self._failures.pop(key, None)

    @asynccontextmanager
    async def take(self) -> AsyncIterator[Key]:
        """The next key, which no other worker gets until the block ends."""
        while not self._ready:
            self._arrival.clear()
            await self._arrival.wait()
        key = self._ready.popleft()
        began = self._clock()
        self._meter.note_taken(began - self._waiting.pop(key))
        self._worked_on[key] = began
        try:
            yield key
        finally:
            del self._worked_on[key]
            self._meter.note_done(self._clock() - began)
            if key in self._waiting:
                self._ready.append(key)
                self._arrival.set()

    def depth(self) -> int:
        """How many keys wait for a worker; delayed ones are not due yet."""
        return len(self._waiting)

    def longest_work(self) -> timedelta:
        """For how long the slowest worker has been processing its key."""
        now = self._clock()
        since = min(self._worked_on.values(), default=now)
        return timedelta(seconds=now - since)

    def unfinished_work(self) -> timedelta:
        """For how long all workers together have been processing their current keys."""
        now = self._clock()
        return timedelta(seconds=sum(now - since for since in self._worked_on.values()))

    def begin_waits(self) -> None:
        """Restarts the wait of all keys: before, there were no workers."""
        self._waiting = dict.fromkeys(self._waiting, self._clock())

    def _cancel_delay(self, key: Key) -> None:
        if (handle := self._delayed.pop(key, None)) is not None:
            handle.cancel()
