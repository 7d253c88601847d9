# SPDX-License-Identifier: Apache-2.0
"""Relisting: a watch that began anew lists everything; this tells when it has come to the end."""

import asyncio
from collections.abc import Awaitable, Callable

QUIET_SECONDS = 5.0
"""So long after its last object a listing counts as ended."""


class Relisting:
    """One end for each listing, however many objects it has and however long it takes."""

    def __init__(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._sleep = sleep
        self._has_listed = asyncio.Event()

    def note(self) -> None:
        """An object was listed, not watched."""
        self._has_listed.set()

    async def wait_for_end(self) -> None:
        await self._has_listed.wait()
        while self._has_listed.is_set():
            self._has_listed.clear()
            await self._sleep(QUIET_SECONDS)
