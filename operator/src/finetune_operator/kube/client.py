# SPDX-License-Identifier: Apache-2.0
"""Plain JSON requests to the API server; the only file that imports the Kubernetes client.

Raw calls, since typed ones cost about twice as much CPU and nothing here needs their types.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from kubernetes.aio import client, config

from finetune_contract.shallow import parse_json
from finetune_operator.kube.pages import (
    FIRST_PAGE,
    LARGEST_PAGE,
    MOST_PAGE_BYTES,
    next_limit,
    parse_object,
    parse_page,
)
from finetune_operator.objects.large import as_kept
from finetune_operator.objects.names import OPERATOR, Resource
from finetune_operator.objects.raw import Body
from finetune_operator.telemetry import metrics

TIMEOUT_SECONDS = 30

MERGE_PATCH = "application/merge-patch+json"


class ApiError(Exception):
    """The API server's refusal, in its own words; or that it gave no answer: status 0."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.message = message
        self.reason = reason
        """The machine-readable one of a `metav1.Status`, such as `AlreadyExists`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How the API server is reached; the runtime's watches use the same."""

    server: str
    ca_path: str | None
    certificate_path: str | None
    private_key_path: str | None
    token: str | None
    is_insecure: bool


class KubeApi:
    """One client for all that is not a watch."""

    def __init__(self, configuration: Any) -> None:
        self._client: Any = client.ApiClient(configuration)
        self._check_write: Callable[[], None] = _allow

    @classmethod
    async def connect(cls, kubeconfig: str | None) -> "KubeApi":
        """To the cluster of this kubeconfig, or to the one around this pod."""
        return cls(await _load(kubeconfig))

    def fenced(self, check: Callable[[], None]) -> "KubeApi":
        """The same client, for one who may not always write: `check` raises where it must not."""
        fenced = copy(self)
        fenced._check_write = check
        return fenced

    @property
    def server(self) -> str:
        url: str = self._client.configuration.host
        return url

    async def close(self) -> None:
        await self._client.close()

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body:
        return await self._request("GET", resource, resource.path(namespace, name))

    async def list_all(
        self,
        resource: Resource,
        selector: str,
        namespace: str | None = None,
        *,
        field_selector: str = "",
    ) -> AsyncIterator[Body]:
        """The objects of one namespace or of all, page by page."""
        selectors = {"labelSelector": selector, "fieldSelector": field_selector}
        limit, most_items, query = FIRST_PAGE, LARGEST_PAGE, dict(selectors)
        while True:
            path = f"{resource.path(namespace)}?{urlencode({'limit': str(limit), **query})}"
            most = MOST_PAGE_BYTES if limit > 1 else None
            try:
                content = await self._ask("GET", resource, path, most_bytes=most)
            except _TooLarge:
                # Others of its size may follow: the pages of this list stay small.
                limit = most_items = max(1, limit // 4)
                continue
            page = parse_page(content)
            limit = min(next_limit(limit, len(content), len(page["items"])), most_items)
            token = page["metadata"].get("continue")
            for item in page.pop("items"):
                yield as_kept(item)
            if not token:
                return
            query["continue"] = token

    async def create(self, resource: Resource, body: Body) -> Body:
        namespace = body["metadata"].get("namespace")
        path = f"{resource.path(namespace)}?fieldManager={OPERATOR}"
        return await self._request("POST", resource, path, body)

    async def replace(self, resource: Resource, body: Body) -> Body:
        """Exactly the version that was read."""
        metadata = body["metadata"]
        path = resource.path(metadata.get("namespace"), metadata["name"])
        return await self._request("PUT", resource, f"{path}?fieldManager={OPERATOR}", body)

    async def delete(
        self, resource: Resource, namespace: str, name: str, uid: str, *, policy: str
    ) -> None:
        """Exactly this object; `policy` says what becomes of what it owns."""
        options = {"propagationPolicy": policy, "preconditions": {"uid": uid}}
        await self._request("DELETE", resource, resource.path(namespace, name), options)

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
        path = resource.path(metadata["namespace"], metadata["name"])
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
        most_bytes: int | None = None,
    ) -> bytes:
        """
        Raises:
            _TooLarge: the answer has more than `most_bytes`.
        """
        content_type = MERGE_PATCH if method == "PATCH" else "application/json"
        method_, url, headers, body_, _ = await self._client.param_serialize(
            method,
            path,
            header_params={"Accept": "application/json", "Content-Type": content_type},
            body=None if body is None else dict(body),
            auth_settings=["BearerToken"],
        )
        if method != "GET":
            self._check_write()
        try:
            response = await self._client.call_api(
                method_, url, headers, body_, _request_timeout=TIMEOUT_SECONDS
            )
            content = await _read(response, most_bytes)
            metrics.count_request(method, resource.plural, response.status)
        except _TooLarge:
            metrics.count_request(method, resource.plural, response.status)
            raise
        except Exception as error:
            metrics.count_request(method, resource.plural, None)
            # Whatever the network does, in whichever library's words: no answer.
            raise ApiError(0, "Unreachable", f"{method} {path}: {error!r}") from error
        if response.status >= 400:
            raise _parse_refusal(response.status, content)
        return content


class _TooLarge(Exception):
    """The answer is longer than what may be kept of it."""


async def _read(response: Any, most_bytes: int | None) -> bytes:
    """
    Raises:
        _TooLarge: it has more.
    """
    if most_bytes is None:
        content: bytes = await response.read()
        return content
    parts, total = [], 0
    async for part in response.response.content.iter_chunked(64 * 1024):
        parts.append(part)
        total += len(part)
        if total > most_bytes:
            # What is left of it is not read.
            response.response.close()
            raise _TooLarge
    return b"".join(parts)


def _allow() -> None: ...


def _parse_refusal(status: int, content: bytes) -> ApiError:
    try:
        refusal = parse_json(content)
        return ApiError(status, refusal.get("reason", ""), refusal.get("message", ""))
    except ValueError:
        # Where there is no such kind of object, or a proxy answers, it is plain text.
        return ApiError(status, "", content.decode(errors="replace").strip())


async def load_access(kubeconfig: str | None) -> Access:
    """The same configuration as the client's, for the runtime."""
    loaded = await _load(kubeconfig)
    header = await loaded.get_api_key_with_prefix("BearerToken")
    return Access(
        server=loaded.host,
        ca_path=loaded.ssl_ca_cert,
        certificate_path=loaded.cert_file,
        private_key_path=loaded.key_file,
        token=header.split(" ", 1)[1] if header else None,
        is_insecure=not loaded.verify_ssl,
    )


async def _load(kubeconfig: str | None) -> Any:
    # The package's typing is partial: what has no types counts as Any.
    loader: Any = config
    configuration: Any = client.Configuration()
    if kubeconfig is not None:
        await loader.load_kube_config(kubeconfig, client_configuration=configuration)
    else:
        loader.load_incluster_config(client_configuration=configuration)
    return configuration
