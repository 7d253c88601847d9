# SPDX-License-Identifier: Apache-2.0
"""The HTTP session of the runtime's watches: it makes responses shallow and small.

The runtime parses lists and watch events itself, where one job that is nested too deep would end
the watch of all jobs.
"""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from finetune_operator.kube.access import Access
from finetune_operator.kube.pages import parse_page, shrink_event

WatchSession = aiohttp.ClientSession


def open_session(access: Access) -> WatchSession:
    """As many connections as there are watches, and no deep objects."""
    return WatchSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=access.ssl_context()),
        headers={"Authorization": f"Bearer {access.token}"} if access.token else None,
        proxy=access.proxy,
        response_class=ShallowResponse,
    )


class ShallowResponse(aiohttp.ClientResponse):
    """A response of the API server: an object, a list, or a stream of watch events, one per
    line.
    """

    async def start(self, connection: Any) -> "ShallowResponse":
        await super().start(connection)
        self.content = ShallowLines(self.content)  # type: ignore[assignment] # what is read of it is there
        return self

    async def json(self, **_: Any) -> Any:
        content = (await self.read()).strip()
        return parse_page(content) if content else None


class ShallowLines:
    """A stream of JSON lines; the other attributes of the stream are unchanged."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Complete lines; a line that was cut off by a broken connection is dropped."""
        rest = b""
        async for chunk in self._stream.iter_chunked(size):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield shrink_event(line) + b"\n"
