# SPDX-License-Identifier: Apache-2.0
"""A proxy to the real API server that kills its client: at every write, before and after it."""

import json
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from cluster.way import Way, resource_of

SPARED = ("leases", "tokenreviews", "subjectaccessreviews", "selfsubjectaccessreviews")
"""They are not steps in a job's life, and are repeated all the time."""


@dataclass(frozen=True, kw_only=True)
class Deaths:
    """The writes at which the client has died, and the objects it has created."""

    before: set[str] = field(default_factory=set)
    after: set[str] = field(default_factory=set)
    created: Counter[str] = field(default_factory=Counter)
    """How many objects of each resource the API server has created."""


@contextmanager
def deadly_api(
    upstream: str, credentials: ssl.SSLContext, kill: Callable[[], None]
) -> Iterator[tuple[str, Deaths]]:
    """The URL of the proxy, and its record.

    At the first try of a write, the client is killed and the API server never receives it. At the
    next try the API server carries it out, and the client is killed before it receives the
    response. From then on the write passes.
    """
    deaths = Deaths()
    with _DeadlyWay(upstream, credentials, kill, deaths).served() as url:
        yield url, deaths


class _DeadlyWay(Way):
    def __init__(
        self, upstream: str, credentials: ssl.SSLContext, kill: Callable[[], None], deaths: Deaths
    ) -> None:
        super().__init__(upstream, credentials)
        self._kill = kill
        self._deaths = deaths

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        write = name_of_write(request.method, request.path, body)
        if write and write not in self._deaths.before:
            self._deaths.before.add(write)
            return self._end(request)
        async with self.ask(request, body) as answer:
            if request.method == "POST" and answer.status == 201:
                self._deaths.created[resource_of(request.path)[0]] += 1
            if write and write not in self._deaths.after:
                self._deaths.after.add(write)
                return self._end(request)
            return await self.pass_on(request, answer)

    def _end(self, request: web.Request) -> web.StreamResponse:
        self._kill()
        return self.cut(request)


def name_of_write(method: str, path: str, body: bytes) -> str | None:
    """The write, in words that are the same for a retry; None if it is no write.

    A status is named by its phase, because its path is always the same.
    """
    resource, subresource = resource_of(path)
    if method == "GET" or resource in SPARED:
        return None
    name = " ".join(filter(None, (method, resource, subresource)))
    if subresource == "status":
        status = json.loads(body).get("status", {})
        return f"{name} {status.get('phase', '')}".rstrip()
    return name
