# SPDX-License-Identifier: Apache-2.0
"""A replica's proxy to the real API server: random faults, broken watches, an audit of writes.

The replica connects without credentials, and is forwarded as the operator's service account, so
that its permissions are those of the installed ClusterRole.
"""

import asyncio
import json
import random
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from aiohttp import web

from cluster.way import Way, resource_of
from finetune_operator.objects.names import PROGRESS_FIELD_MANAGER

OPERATOR = {
    "Impersonate-User": "system:serviceaccount:finetune-system:finetune-operator",
    "Impersonate-Group": "system:serviceaccounts",
}


class Fault(Enum):
    """The fault of a request."""

    TOO_MANY = auto()
    BROKEN = auto()
    UNAVAILABLE = auto()
    CONFLICT = auto()
    """Only writes have conflicts."""
    CUT_BEFORE = auto()
    CUT_AFTER = auto()
    """The API server has carried it out, and the client never receives the response."""
    SLOW = auto()


class WatchFault(Enum):
    """The fault of the next watch of each resource."""

    GONE = auto()
    """Answered with 410."""
    GONE_EVENT = auto()
    """Starts normally, and then sends 410 as an event."""
    SILENT = auto()
    """Starts normally, and then sends nothing."""


_REFUSALS = {
    Fault.TOO_MANY: (429, "TooManyRequests"),
    Fault.BROKEN: (500, "InternalError"),
    Fault.UNAVAILABLE: (503, "ServiceUnavailable"),
    Fault.CONFLICT: (409, "Conflict"),
}


@dataclass(frozen=True, kw_only=True)
class Write:
    """A request that the API server has handled, in this machine's monotonic time."""

    replica: str
    method: str
    resource: str
    namespace: str
    name: str
    status: int
    sent: float
    answered: float
    field_manager: str = ""
    lease_holder: str | None = None
    """For writes to the Lease: the new holder."""


@dataclass(kw_only=True)
class Weather:
    """The faults of the proxy; a test changes them at any time."""

    rate: float = 0.0
    """The share of requests other than watches that meet a fault."""
    faults: Sequence[Fault] = tuple(Fault)
    slowness: float = 4.0
    """Seconds at most."""
    is_cut_off: bool = False
    """No request arrives."""
    watch_faults: dict[str, WatchFault] = field(default_factory=dict)
    """By resource; each happens once."""


class FaultyWay(Way):
    """The proxy of one replica."""

    def __init__(
        self,
        upstream: str,
        credentials: ssl.SSLContext,
        *,
        replica: str,
        audit: list[Write],
        seed: int = 0,
    ) -> None:
        super().__init__(upstream, credentials, OPERATOR)
        self.weather = Weather()
        self._replica = replica
        self._audit = audit
        self._chance = random.Random(seed)  # noqa: S311 - repeatable, and no secret
        self._watches: dict[int, web.Request] = {}

    def drop_watches(self) -> None:
        """Drops all of them, in the middle."""
        self._loop.call_soon_threadsafe(self._drop_watches)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if self.weather.is_cut_off:
            return self.cut(request)
        if "watch" in request.query:
            return await self._watch(request)
        fault = self._find_fault(request.method)
        if fault in _REFUSALS:
            return _refuse(*_REFUSALS[fault])
        if fault is Fault.CUT_BEFORE:
            return self.cut(request)
        if fault is Fault.SLOW:
            await asyncio.sleep(self._chance.uniform(0, self.weather.slowness))
        sent = time.monotonic()
        async with self.ask(request, body) as answer:
            if request.method != "GET":
                self._note(request, body, answer.status, sent)
            if fault is Fault.CUT_AFTER or self.weather.is_cut_off:
                return self.cut(request)
            return await self.pass_on(request, answer)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        resource, _ = resource_of(request.path)
        fault = self.weather.watch_faults.pop(resource, None)
        if fault is WatchFault.GONE:
            return _refuse(410, "Expired")
        if fault is WatchFault.GONE_EVENT:
            event = {"type": "ERROR", "object": _status(410, "Expired")}
            return web.Response(text=json.dumps(event) + "\n", content_type="application/json")
        self._watches[id(request)] = request
        try:
            if fault is WatchFault.SILENT:
                return await self._say_nothing(request)
            async with self.ask(request, b"") as answer:
                return await self.pass_on(request, answer)
        finally:
            del self._watches[id(request)]

    async def _say_nothing(self, request: web.Request) -> web.StreamResponse:
        """Until the client disconnects, which cancels this."""
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    def _drop_watches(self) -> None:
        for request in self._watches.values():
            self.cut(request)

    def _find_fault(self, method: str) -> Fault | None:
        if self._chance.random() >= self.weather.rate:
            return None
        fault = self._chance.choice(self.weather.faults)
        return None if fault is Fault.CONFLICT and method == "GET" else fault

    def _note(self, request: web.Request, body: bytes, status: int, sent: float) -> None:
        resource, subresource = resource_of(request.path)
        content = json.loads(body or b"{}")
        is_lease = resource == "leases"
        parts = request.path.removesuffix(f"/{subresource}").rstrip("/").split("/")
        self._audit.append(
            Write(
                replica=self._replica,
                method=request.method,
                resource=resource,
                namespace=parts[parts.index("namespaces") + 1] if "namespaces" in parts else "",
                name=content.get("metadata", {}).get("name") or parts[-1],
                status=status,
                sent=sent,
                answered=time.monotonic(),
                field_manager=request.query.get("fieldManager", ""),
                lease_holder=content["spec"]["holderIdentity"] if is_lease else None,
            )
        )


def find_strangers(audit: Sequence[Write]) -> list[Write]:
    """Writes that were sent while another replica, or none, held the Lease: there must be none.

    Exceptions: progress, which every replica that receives it writes; and writes that the API
    server refused because their object had changed. A process may be paused between its last check
    of the Lease and the write, and then gets such a refusal.
    """
    leases = [write for write in audit if write.resource == "leases" and write.status < 300]

    def holder_at(moment: float) -> str:
        known = [write for write in leases if write.answered <= moment]
        last = max(known, key=lambda write: write.answered, default=None)
        return last.replica if last is not None and last.lease_holder else ""

    return [
        write
        for write in audit
        if write.resource not in ("leases", "tokenreviews")
        if write.field_manager != PROGRESS_FIELD_MANAGER
        if write.status not in (404, 409)
        if holder_at(write.sent) != write.replica
    ]


def _refuse(code: int, reason: str) -> web.Response:
    headers = {"Retry-After": "1"} if code == 429 else {}
    return web.json_response(_status(code, reason), status=code, headers=headers)


def _status(code: int, reason: str) -> dict[str, object]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "by chance",
        "reason": reason,
        "code": code,
    }
