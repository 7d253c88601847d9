# SPDX-License-Identifier: Apache-2.0
"""Relisting: a restarted watch lists everything; this reports when the list is complete."""

import asyncio
from collections.abc import Awaitable, Callable

QUIET_SECONDS = 5.0
"""A listing counts as complete this long after its last object."""


class Relisting:
    """One call for each listing, however many objects it has and however long it takes."""

    def __init__(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._sleep = sleep
        self._has_listed = asyncio.Event()

    def note(self) -> None:
        """Called for an object that was listed, not watched."""
        self._has_listed.set()

    async def wait_for_end(self) -> None:
        await self._has_listed.wait()
        while self._has_listed.is_set():
            self._has_listed.clear()
            await self._sleep(QUIET_SECONDS)
