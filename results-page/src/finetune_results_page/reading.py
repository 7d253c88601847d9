# SPDX-License-Identifier: Apache-2.0
"""Reads from the API server with the requesting reader's token. No other module sends requests to
it.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import ClientError, ClientResponse, ClientSession

from finetune_results_page.logs import say
from finetune_results_page.model.query import JobName
from finetune_results_page.model.rows import JobRow, parse_rows
from finetune_results_page.model.values import clean, mapping_of, parse_json

JOBS: Final = "/apis/finetune.dev/v1alpha1"

TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"
"""The columns of `kubectl get`: https://kubernetes.io/docs/reference/using-api/api-concepts/"""

CHUNK: Final = 500
"""Rows of one read, as kubectl reads lists: one chunk is in memory at a time."""

LISTED: Final = 10_000
"""The number of listed jobs. To see more, a reader selects a namespace."""

LARGEST: Final = 32 * 1024 * 1024
"""Limit for one response, in bytes."""

SMALL: Final = 256 * 1024
"""A response that is parsed without a separate thread, in bytes."""

SIDE_BY_SIDE: Final = 8
DETAILS_SECONDS: Final = 5.0
"""How long the list waits for its curves. It is shown without those that take longer."""


class ReadRefused(Exception):
    """The API server's refusal, or why there is no response."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """One person's reads."""

    session: ClientSession
    server: str
    authorization: str

    async def list_rows(self, namespace: str) -> tuple[tuple[JobRow, ...], bool]:
        """All jobs of a namespace, or of all, and whether there are more than are listed.

        Raises:
            ReadRefused: the API server refuses, or cannot be reached.
        """
        rows: list[JobRow] = []
        following = ""
        while len(rows) < LISTED:
            parameters = {"includeObject": "Metadata", "limit": f"{CHUNK}"}
            parameters |= {"continue": following} if following else {}
            table = await self._read(_path_of(namespace), parameters, accept=TABLE)
            rows += parse_rows(table)
            following = _continue_of(table)
            if not following:
                break
        return tuple(rows[:LISTED]), bool(following) or len(rows) > LISTED

    async def get_job(self, key: JobName) -> Mapping[str, Any]:
        """
        Raises:
            ReadRefused: the API server refuses, or cannot be reached.
        """
        path = f"{_path_of(key.namespace)}/{key.name}"
        return mapping_of(await self._read(path, {}, accept="application/json"))

    async def get_jobs(
        self, keys: Iterable[JobName]
    ) -> dict[JobName, Mapping[str, Any] | ReadRefused]:
        """Each of these jobs, or why it could not be read, within DETAILS_SECONDS."""
        room = asyncio.Semaphore(SIDE_BY_SIDE)

        async def get(key: JobName) -> Mapping[str, Any] | ReadRefused:
            async with room:
                try:
                    return await self.get_job(key)
                except ReadRefused as refusal:
                    return refusal

        reads = {key: asyncio.create_task(get(key)) for key in keys}
        if reads:
            _, late = await asyncio.wait(reads.values(), timeout=DETAILS_SECONDS)
            for read in late:
                read.cancel()
        no_answer = ReadRefused(504, "the API server takes too long to answer")
        return {
            key: read.result() if read.done() and not read.cancelled() else no_answer
            for key, read in reads.items()
        }

    async def _read(self, path: str, parameters: Mapping[str, str], *, accept: str) -> Any:
        headers = {"Accept": accept, "Authorization": self.authorization}
        url = f"{self.server}{path}?{urlencode(parameters)}".rstrip("?")
        try:
            async with self.session.get(url, headers=headers, allow_redirects=False) as answer:
                body = await _body_of(answer)
                status = answer.status
        except (ClientError, TimeoutError) as error:
            say("API server not reached", error=repr(error))
            raise ReadRefused(502, "the API server does not answer") from None
        try:
            value = await _parsed(body)
        except ValueError as error:
            value = {"message": f"the API server's answer cannot be read: {error}"}
            status = status if status >= 400 else 502
        if status != 200:
            message = (
                clean(mapping_of(value).get("message"), 1000) or f"the API server answers {status}"
            )
            raise ReadRefused(status if 400 <= status < 600 else 502, message)
        return value


async def _parsed(body: bytes) -> Any:
    # Parsing a list of hundreds of jobs would block other readers; a single job costs less than a
    # thread.
    return await asyncio.to_thread(parse_json, body) if len(body) > SMALL else parse_json(body)


async def _body_of(answer: ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > LARGEST:
            raise ReadRefused(502, f"the API server's answer is larger than {LARGEST >> 20} MiB")
    return bytes(body)


def _path_of(namespace: str) -> str:
    within = f"/namespaces/{namespace}" if namespace else ""
    return f"{JOBS}{within}/finetunejobs"


def _continue_of(table: Any) -> str:
    following = mapping_of(mapping_of(table).get("metadata")).get("continue")
    return following if isinstance(following, str) else ""
