# SPDX-License-Identifier: Apache-2.0
"""The HTTP session of kopf's watches: it hands each object over, and leaves kopf the bookmarks.

kopf finds the resources, lists them, and keeps a watch open on each through timeouts, outages and
410 Gone. It would also keep a task, a queue and a memory for each object, for handlers that have a
state. Ours have none, and one job that is nested too deep would end kopf's watch of all jobs.
"""

import json
from collections.abc import AsyncIterator
from typing import Any, ClassVar, Protocol

import aiohttp

from finetune_operator.kube.access import Access
from finetune_operator.kube.cache import Kind
from finetune_operator.kube.pages import parse_event, parse_page
from finetune_operator.objects.names import KIND, SCHEDULE_KIND
from finetune_operator.objects.raw import Body

WatchSession = aiohttp.ClientSession

_KINDS = {
    KIND: Kind.JOB,
    SCHEDULE_KIND: Kind.SCHEDULE,
    "Job": Kind.TRAINING_JOB,
    "Pod": Kind.POD,
}
_CHANGES = frozenset({"ADDED", "MODIFIED", "DELETED"})


class Receiver(Protocol):
    """The receiver of the objects, in the order of the watch. Its methods raise nothing."""

    def notice(self, kind: Kind, body: Body, *, is_gone: bool) -> None: ...

    def notice_listed(self) -> None:
        """A list is complete, and a watch begins after it: neither has objects deleted before."""


def open_session(access: Access, receiver: Receiver) -> WatchSession:
    """As many connections as there are watches."""
    return WatchSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=access.ssl_context()),
        headers={"Authorization": f"Bearer {access.token}"} if access.token else None,
        proxy=access.proxy,
        response_class=response_class(receiver),
    )


def response_class(receiver: Receiver) -> type[aiohttp.ClientResponse]:
    class Response(WatchResponse):
        _receiver = receiver

    return Response


class WatchResponse(aiohttp.ClientResponse):
    """A response of the API server: a list, a stream of watch events, or anything else."""

    _receiver: ClassVar[Receiver]

    async def start(self, connection: Any) -> "WatchResponse":
        await super().start(connection)
        self.content = EventLines(self.content, self._receiver)  # type: ignore[assignment] # what is read of it is there
        return self

    async def json(self, **_: Any) -> Any:
        content = (await self.read()).strip()
        page = parse_page(content) if content else None
        # A proxy may answer with any JSON.
        return _without_items(page, self._receiver) if isinstance(page, dict) else page


class EventLines:
    """A stream of JSON lines; the other attributes of the stream are unchanged."""

    def __init__(self, stream: Any, receiver: Receiver) -> None:
        self._stream = stream
        self._receiver = receiver

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Complete lines; a line that was cut off by a broken connection is dropped."""
        rest = b""
        async for chunk in self._stream.iter_chunked(size):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in filter(bytes.strip, lines):
                yield json.dumps(self._bookmark_of(parse_event(line))).encode() + b"\n"

    def _bookmark_of(self, event: Any) -> Any:
        """Only the version of a changed object remains, from which kopf continues the watch."""
        body = event["object"]
        kind = _KINDS.get(body.get("kind"))
        if kind is None or event["type"] not in _CHANGES:
            return event
        self._receiver.notice(kind, body, is_gone=event["type"] == "DELETED")
        version = {"resourceVersion": body["metadata"]["resourceVersion"]}
        return {"type": "BOOKMARK", "object": {"metadata": version}}


def _without_items(page: dict[str, Any], receiver: Receiver) -> dict[str, Any]:
    kind = _KINDS.get(str(page.get("kind")).removesuffix("List"))
    if kind is None or "items" not in page:
        return page
    for body in page["items"]:
        receiver.notice(kind, body, is_gone=False)
    if not page["metadata"].get("continue"):
        receiver.notice_listed()
    return {**page, "items": []}
