# SPDX-License-Identifier: Apache-2.0
"""Plain JSON requests to the API server.

Uses aiohttp directly: before each request the Kubernetes client looks for a proxy and for passwords
in threads and walks each body twice, which takes three times as long as the request.
"""

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from copy import copy
from typing import Any
from urllib.parse import urlencode

import aiohttp

from finetune_contract.object_names import is_object_name
from finetune_contract.shallow import parse_json
from finetune_operator.kube.access import Login, log_in
from finetune_operator.kube.pages import (
    FIRST_PAGE,
    LARGEST_PAGE,
    MOST_PAGE_BYTES,
    next_limit,
    parse_object,
    parse_page,
    parse_uids,
)
from finetune_operator.objects.large import as_kept
from finetune_operator.objects.names import OPERATOR, Resource
from finetune_operator.objects.raw import Body
from finetune_operator.telemetry import metrics

TIMEOUT_SECONDS = 30
MOST_CONNECTIONS = 100

JSON = "application/json"
JSON_METADATA = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,{JSON}"
MERGE_PATCH = "application/merge-patch+json"


class ApiError(Exception):
    """The API server's refusal with its message; or status 0 if it did not respond."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.message = message
        self.reason = reason
        """The machine-readable one of a `metav1.Status`, such as `AlreadyExists`."""


class KubeApi:
    """One client for all requests but watches."""

    def __init__(self, login: Login) -> None:
        access = login.access
        self.server = access.server
        self._server_name = access.server_name
        self._find_token = login.find_token
        self._check_write: Callable[[], None] = _allow
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MOST_CONNECTIONS, ssl=access.ssl_context()),
            headers={"User-Agent": OPERATOR},
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
            proxy=access.proxy,
        )

    @classmethod
    async def connect(cls, kubeconfig: str | None) -> "KubeApi":
        """Connects to the cluster of this kubeconfig, or to the one that this pod runs in."""
        return cls(await log_in(kubeconfig))

    def fenced(self, check: Callable[[], None]) -> "KubeApi":
        """The same client with `check` before each write, which raises if it is not allowed."""
        fenced = copy(self)
        fenced._check_write = check
        return fenced

    async def close(self) -> None:
        await self._session.close()

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body:
        return await self._request("GET", resource, _path_of(resource, namespace, name))

    async def list_all(
        self,
        resource: Resource,
        selector: str,
        namespace: str | None = None,
        *,
        field_selector: str = "",
    ) -> AsyncGenerator[Body, None]:
        """The objects of one namespace or of all, page by page."""
        query = {"labelSelector": selector, "fieldSelector": field_selector}
        async for items in self._pages(resource, namespace, query, JSON, parse_page):
            for item in items:
                yield as_kept(item)

    async def list_uids(
        self, resource: Resource, selector: str, namespace: str | None = None
    ) -> AsyncGenerator[str, None]:
        """The uids of these objects, and some uids of other objects (`parse_uids`)."""
        query = {"labelSelector": selector}
        async for uids in self._pages(resource, namespace, query, JSON_METADATA, parse_uids):
            for uid in uids:
                yield uid

    async def _pages(
        self,
        resource: Resource,
        namespace: str | None,
        query: dict[str, str],
        accept: str,
        parse: Callable[[bytes], dict[str, Any]],
    ) -> AsyncGenerator[list[Any], None]:
        """The items of each page of a list."""
        limit, most_items = FIRST_PAGE, LARGEST_PAGE
        while True:
            path = f"{resource.path(namespace)}?{urlencode({'limit': str(limit), **query})}"
            most = MOST_PAGE_BYTES if limit > 1 else None
            try:
                content = await self._ask("GET", resource, path, accept=accept, most_bytes=most)
            except _TooLarge:
                # More objects of this size may follow: the pages of this list stay small.
                limit = most_items = max(1, limit // 4)
                continue
            page = parse(content)
            limit = min(next_limit(limit, len(content), len(page["items"])), most_items)
            yield page.pop("items")
            if not (token := page["metadata"].get("continue")):
                return
            query = {**query, "continue": token}

    async def create(self, resource: Resource, body: Body) -> Body:
        namespace = body["metadata"].get("namespace")
        path = f"{resource.path(namespace)}?fieldManager={OPERATOR}"
        return await self._request("POST", resource, path, body)

    async def replace(self, resource: Resource, body: Body) -> Body:
        """Replaces exactly the version that was read."""
        metadata = body["metadata"]
        path = _path_of(resource, metadata.get("namespace"), metadata["name"])
        return await self._request("PUT", resource, f"{path}?fieldManager={OPERATOR}", body)

    async def delete(
        self, resource: Resource, namespace: str, name: str, uid: str, *, policy: str
    ) -> None:
        """Deletes exactly this object; `policy` decides about the objects it owns."""
        options = {"propagationPolicy": policy, "preconditions": {"uid": uid}}
        await self._request("DELETE", resource, _path_of(resource, namespace, name), options)

    async def patch_status(
        self,
        resource: Resource,
        body: Body,
        status: Mapping[str, Any],
        *,
        field_manager: str = OPERATOR,
    ) -> Body:
        """Merges into the status of exactly this version of the object."""
        metadata = body["metadata"]
        path = _path_of(resource, metadata["namespace"], metadata["name"])
        version = {name: metadata[name] for name in ("uid", "resourceVersion")}
        return await self._request(
            "PATCH",
            resource,
            f"{path}/status?fieldManager={field_manager}",
            {"metadata": version, "status": status},
        )

    async def _request(
        self, method: str, resource: Resource, path: str, body: Body | None = None
    ) -> Body:
        return parse_object(await self._ask(method, resource, path, body))

    async def _ask(
        self,
        method: str,
        resource: Resource,
        path: str,
        body: Body | None = None,
        *,
        accept: str = JSON,
        most_bytes: int | None = None,
    ) -> bytes:
        """
        Raises:
            _TooLarge: the answer has more than `most_bytes`.
        """
        headers = {"Accept": accept, **await self._headers(method)}
        data = None if body is None else json.dumps(dict(body)).encode()
        if method != "GET":
            self._check_write()
        try:
            async with self._session.request(
                method,
                self.server + path,
                data=data,
                headers=headers,
                server_hostname=self._server_name,
            ) as response:
                status = response.status
                content = await _read(response, most_bytes)
            metrics.count_request(method, resource.plural, status)
        except _TooLarge:
            metrics.count_request(method, resource.plural, status)
            raise
        except Exception as error:
            metrics.count_request(method, resource.plural, None)
            # Any network error, of whichever library: no response.
            raise ApiError(0, "Unreachable", f"{method} {path}: {error!r}") from error
        if status >= 400:
            raise _parse_refusal(status, content)
        return content

    async def _headers(self, method: str) -> dict[str, str]:
        headers = {"Content-Type": MERGE_PATCH if method == "PATCH" else JSON}
        token = await self._find_token()
        return headers if token is None else {**headers, "Authorization": f"Bearer {token}"}


class _TooLarge(Exception):
    """The response is longer than the given limit."""


async def _read(response: aiohttp.ClientResponse, most_bytes: int | None) -> bytes:
    """
    Raises:
        _TooLarge: the response has more.
    """
    if most_bytes is None:
        return await response.read()
    parts, total = [], 0
    async for part in response.content.iter_chunked(64 * 1024):
        parts.append(part)
        total += len(part)
        if total > most_bytes:
            # The rest is not read.
            response.close()
            raise _TooLarge
    return b"".join(parts)


def _allow() -> None: ...


def _path_of(resource: Resource, namespace: str | None, name: str) -> str:
    """
    Raises:
        ValueError: no object has this name, and it could lead to another one's path.
    """
    for part in (namespace, name):
        if part is not None and not is_object_name(part):
            raise ValueError(f"{part[:60]!r} is not the name of an object")
    return resource.path(namespace, name)


def _parse_refusal(status: int, content: bytes) -> ApiError:
    try:
        refusal = parse_json(content)
        return ApiError(status, refusal.get("reason", ""), refusal.get("message", ""))
    except ValueError:
        # Responses about unknown kinds, or of a proxy, are plain text.
        return ApiError(status, "", content.decode(errors="replace").strip())
