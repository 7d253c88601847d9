# SPDX-License-Identifier: Apache-2.0
"""A fake of the API server's reads of FineTuneJobs, and the results page in front of it.

It serves lists as Tables with the columns of the CRD, in chunks, and single jobs. A request's token
determines its permissions: `reader` has all, `lister` only lists, any other none.
"""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import certifi
import yaml
from aiohttp import web

from finetune_results_page.server import build_app
from finetune_results_page.settings import PageSettings
from repository.tracked import ROOT

Body = Mapping[str, Any]
Key = tuple[str, str]

READER, LISTER = "Bearer reader", "Bearer lister"
PREFIX = "/apis/finetune.dev/v1alpha1"


@cache
def crd_columns() -> list[dict[str, str]]:
    """Name and path of each column of the CRD, as the real API server would fill it."""
    document = yaml.safe_load((ROOT / "crds" / "finetunejobs.yaml").read_text())
    columns: list[dict[str, str]] = document["spec"]["versions"][0]["additionalPrinterColumns"]
    return columns


def cell(job: Body, path: str) -> Any:
    """The value at such a path; the condition Ready's reason is the only filter among them, and the
    first note's the only place in a list."""
    if "conditions" in path:
        conditions = _mapping(job.get("status")).get("conditions")
        listed = conditions if isinstance(conditions, list) else []
        return next((it["reason"] for it in listed if it["type"] == "Ready"), None)
    if "notes" in path:
        notes = _mapping(job.get("status")).get("notes")
        return notes[0].get("reason") if isinstance(notes, list) and notes else None
    value: Any = job
    for name in path.strip(".").split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _mapping(value: Any) -> Body:
    return value if isinstance(value, Mapping) else {}


@dataclass
class FakeJobsApi:
    jobs: dict[Key, Body] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Path and query of each request."""
    answers: dict[str, bytes] = field(default_factory=dict)
    """Path -> a body to send instead."""

    def put(self, *jobs: Body) -> None:
        for job in jobs:
            self.jobs[job["metadata"]["namespace"], job["metadata"]["name"]] = job

    async def handle(self, request: web.BaseRequest) -> web.Response:
        self.asked.append(request.path_qs)
        token = request.headers.get("Authorization")
        if token not in {READER, LISTER}:
            return _status(401, "Unauthorized")
        if request.path in self.answers:
            body = self.answers[request.path]
            return web.Response(body=body, content_type="application/json")
        match = re.fullmatch(
            rf"{PREFIX}(?:/namespaces/([^/]+))?/finetunejobs(?:/([^/]+))?", request.path
        )
        assert match is not None, request.path
        namespace, name = match.groups()
        if name is None:
            start, limit = int(request.query.get("continue", 0)), int(request.query["limit"])
            return web.json_response(self.table(namespace, start, limit))
        if token == LISTER:
            return _status(403, 'User "lister" cannot get resource "finetunejobs"')
        job = self.jobs.get((namespace, name))
        return web.json_response(job) if job else _status(404, f'"{name}" not found')

    def table(self, namespace: str | None = None, start: int = 0, limit: int = 500) -> Body:
        """The API server's response to a list."""
        found = [job for key, job in sorted(self.jobs.items()) if namespace in {None, key[0]}]
        end = start + limit
        columns = crd_columns()
        return {
            "kind": "Table",
            "metadata": {"continue": f"{end}"} if end < len(found) else {},
            "columnDefinitions": [{"name": name} for name in ("Name", *_names(columns))],
            "rows": [_row(job, columns) for job in found[start:end]],
        }


def _names(columns: Sequence[Mapping[str, str]]) -> list[str]:
    return [column["name"] for column in columns]


def _row(job: Body, columns: Sequence[Mapping[str, str]]) -> Body:
    cells = [job["metadata"]["name"], *(cell(job, column["jsonPath"]) for column in columns)]
    return {"cells": cells, "object": {"metadata": job["metadata"]}}


def _status(code: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "message": message}, status=code)


@contextmanager
def served_page(api: FakeJobsApi) -> Iterator[str]:
    """The URL of a page that reads from this API, in a separate event loop."""
    loop = asyncio.new_event_loop()
    started: asyncio.Future[str] = loop.create_future()
    ended = asyncio.Event()

    async def serve() -> None:
        async with _running(web.ServerRunner(web.Server(api.handle, access_log=None))) as server:
            settings = PageSettings(
                api_server=server,
                ca_file=certifi.where(),
                listen_address="127.0.0.1",
                port=0,
                log_level="INFO",
            )
            async with _running(web.AppRunner(build_app(settings), access_log=None)) as url:
                started.set_result(url)
                await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(_value(started), loop).result(timeout=30)
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(timeout=30)
        loop.close()


async def _value(future: asyncio.Future[str]) -> str:
    return await future


@asynccontextmanager
async def _running(runner: web.AppRunner | web.ServerRunner) -> AsyncIterator[str]:
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
