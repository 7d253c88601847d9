# SPDX-License-Identifier: Apache-2.0
"""A fake of the API server for `KubeApi`, in memory: versions, conflicts, refusals."""

import asyncio
import copy
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.objects.names import Resource
from finetune_operator.objects.raw import Body

NOT_FOUND = ApiError(404, "NotFound", "not found")
EXISTS = ApiError(409, "AlreadyExists", "already exists")
CONFLICT = ApiError(409, "Conflict", "the object has been modified")


class FakeApi(KubeApi):
    """Objects by resource, namespace ("" for none) and name; `calls` has the requests."""

    def __init__(self) -> None:
        self.objects: dict[tuple[Resource, str, str], Any] = {}
        self.calls: list[str] = []
        self.fail_with: Exception | None = None
        self.refuse_new: Exception | None = None
        """Responses of admission to new objects, before it is known whether they are new."""
        self.fail_list: dict[Resource, Exception] = {}
        """The end of a resource's lists."""
        self.review: Callable[[Body], Body] = lambda request: request
        self.silent: set[str] = set()
        """Names of objects whose status writes get no response."""
        self._version = 100

    def put(self, resource: Resource, body: Body) -> Any:
        """Writes like another client."""
        self._version += 1
        kept = copy.deepcopy(dict(body))
        kept["metadata"]["resourceVersion"] = str(self._version)
        self.objects[_identity(resource, body)] = kept
        return copy.deepcopy(kept)

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body:
        self._note(f"get {resource.plural}")
        found: Body = copy.deepcopy(self._find(resource, namespace or "", name))
        # As over a network: other tasks run between a read and a write.
        await asyncio.sleep(0)
        return found

    async def list_all(
        self,
        resource: Resource,
        selector: str,
        namespace: str | None = None,
        *,
        field_selector: str = "",
    ) -> AsyncGenerator[Body, None]:
        self._note(f"list {resource.plural}")
        if resource in self.fail_list:
            raise self.fail_list[resource]
        for (kind, place, _), found in list(self.objects.items()):
            if kind == resource and namespace in (None, place):
                yield copy.deepcopy(found)

    async def list_uids(
        self, resource: Resource, selector: str, namespace: str | None = None
    ) -> AsyncGenerator[str, None]:
        async for found in self.list_all(resource, selector, namespace):
            yield found["metadata"]["uid"]

    async def create(self, resource: Resource, body: Body) -> Body:
        self._note(f"create {resource.plural}")
        if resource.plural == "tokenreviews":
            return self.review(body)
        if self.refuse_new is not None:
            raise self.refuse_new
        if _identity(resource, body) in self.objects:
            raise EXISTS
        made: Body = self.put(resource, body)
        return made

    async def replace(self, resource: Resource, body: Body) -> Body:
        self._note(f"put {resource.plural}")
        found = self._find(*_identity(resource, body))
        if found["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise CONFLICT
        replaced: Body = self.put(resource, body)
        return replaced

    async def delete(
        self, resource: Resource, namespace: str, name: str, uid: str, *, policy: str
    ) -> None:
        self._note(f"delete {resource.plural}")
        if self._find(resource, namespace, name)["metadata"].get("uid") != uid:
            raise CONFLICT
        del self.objects[resource, namespace, name]

    async def patch_status(
        self,
        resource: Resource,
        body: Body,
        status: Mapping[str, Any],
        *,
        field_manager: str = "",
    ) -> Body:
        self._note(f"patch {resource.plural}")
        if body["metadata"]["name"] in self.silent:
            await asyncio.Event().wait()
        found = self._find(resource, body["metadata"]["namespace"], body["metadata"]["name"])
        for name in ("uid", "resourceVersion"):
            if found["metadata"][name] != body["metadata"][name]:
                raise CONFLICT
        merged = {**found.get("status", {}), **status}
        written: Body = self.put(resource, {**found, "status": merged})
        return written

    def _find(self, resource: Resource, namespace: str, name: str) -> Any:
        if (resource, namespace, name) not in self.objects:
            raise NOT_FOUND
        return self.objects[resource, namespace, name]

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if self.fail_with is not None:
            raise self.fail_with


def _identity(resource: Resource, body: Body) -> tuple[Resource, str, str]:
    return resource, body["metadata"].get("namespace", ""), body["metadata"]["name"]
