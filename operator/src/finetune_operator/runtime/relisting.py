# SPDX-License-Identifier: Apache-2.0
"""Relisting: a restarted watch lists everything; this reports when all lists are complete."""

import asyncio
from collections.abc import Awaitable, Callable

QUIET_SECONDS = 5.0
"""The lists count as complete this long after the last one."""


class Relisting:
    """One call for the lists of all kinds, which usually restart together."""

    def __init__(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._sleep = sleep
        self._has_listed = asyncio.Event()

    def note(self) -> None:
        """Called when the list of a kind is complete."""
        self._has_listed.set()

    async def wait_for_end(self) -> None:
        await self._has_listed.wait()
        while self._has_listed.is_set():
            self._has_listed.clear()
            await self._sleep(QUIET_SECONDS)
