# SPDX-License-Identifier: Apache-2.0
"""A simulated API server in memory with watches and a history, and a client that can be killed.

`fake_api` gives single answers. Here, objects have versions, generations, owners and foreground
deletion, and every change becomes an event that reaches a watcher only at the watcher's next step.
"""

import copy
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from finetune_operator.kube.cache import Kind
from finetune_operator.kube.client import KubeApi
from finetune_operator.objects.names import PODS, Resource
from finetune_operator.objects.raw import Body
from support.fake_api import CONFLICT, EXISTS, NOT_FOUND

Identity = tuple[Resource, str]
"""All objects are in one namespace."""


class Killed(BaseException):
    """Ends the operator's process: no code of the operator may handle this."""


@dataclass(frozen=True)
class Event:
    kind: Kind
    body: Any
    is_gone: bool = False


@dataclass
class Etcd:
    """The objects, and all events since the beginning."""

    objects: dict[Identity, Any] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    """The writes that all clients have tried."""
    version: int = 0
    made: int = 0

    def find(self, resource: Resource, name: str) -> Any:
        return self.objects.get((resource, name))

    def all(self, resource: Resource) -> list[Any]:
        return [found for (kind, _), found in self.objects.items() if kind == resource]

    def create(self, resource: Resource, body: Body, created: str) -> Any:
        self.made += 1
        made = copy.deepcopy(dict(body))
        made["metadata"] |= {
            "uid": f"uid-{self.made}",
            "creationTimestamp": created,
            "generation": 1,
        }
        self.objects[resource, made["metadata"]["name"]] = made
        self.touch(resource, made)
        return made

    def touch(self, resource: Resource, body: Any, *, is_gone: bool = False) -> None:
        """Records a change of the object: a new version and an event."""
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        for kind in Kind:
            if kind.resource == resource:
                self.events.append(Event(kind, copy.deepcopy(body), is_gone))

    def remove(self, resource: Resource, name: str) -> None:
        gone = self.objects.pop((resource, name))
        self.touch(resource, gone, is_gone=True)


class SimulatedApi(KubeApi):
    """The operator's client."""

    def __init__(self, etcd: Etcd, now: Callable[[], str]) -> None:
        self._etcd = etcd
        self._now = now
        self.writes = etcd.writes
        self.killed_at: tuple[int, bool] | None = None
        """The number of the write, and whether the API server still carries it out."""
        self.on_create: Callable[[Resource, Any], None] = lambda resource, body: None

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body:
        found: Body = copy.deepcopy(self._find(resource, name))
        return found

    async def list_all(
        self,
        resource: Resource,
        selector: str,
        namespace: str | None = None,
        *,
        field_selector: str = "",
    ) -> AsyncIterator[Body]:
        for found in self._etcd.all(resource):
            yield copy.deepcopy(found)

    async def list_uids(
        self, resource: Resource, selector: str, namespace: str | None = None
    ) -> AsyncIterator[str]:
        for found in self._etcd.all(resource):
            yield found["metadata"]["uid"]

    async def create(self, resource: Resource, body: Body) -> Body:
        def carry_out() -> Any:
            if self._etcd.find(resource, body["metadata"]["name"]) is not None:
                raise EXISTS
            made = copy.deepcopy(dict(body))
            self.on_create(resource, made)
            return self._etcd.create(resource, made, self._now())

        return self._write(f"create {resource.plural}", carry_out)

    async def delete(
        self, resource: Resource, namespace: str, name: str, uid: str, *, policy: str
    ) -> None:
        def carry_out() -> Any:
            found = self._find(resource, name)
            if found["metadata"]["uid"] != uid:
                raise CONFLICT
            # A pod has its grace period, whether it owns other objects or not.
            if policy == "Foreground" or resource is PODS:
                # A second deletion changes nothing.
                if "deletionTimestamp" not in found["metadata"]:
                    found["metadata"]["deletionTimestamp"] = self._now()
                    self._etcd.touch(resource, found)
            else:
                self._etcd.remove(resource, name)

        self._write(f"delete {resource.plural}", carry_out)

    async def patch_status(
        self,
        resource: Resource,
        body: Body,
        status: Mapping[str, Any],
        *,
        field_manager: str = "",
    ) -> Body:
        def carry_out() -> Any:
            found = self._find(resource, body["metadata"]["name"])
            for name in ("uid", "resourceVersion"):
                if found["metadata"][name] != body["metadata"][name]:
                    raise CONFLICT
            found["status"] = merged(found.get("status", {}), status)
            self._etcd.touch(resource, found)
            return found

        return self._write("status", carry_out)

    def _find(self, resource: Resource, name: str) -> Any:
        found = self._etcd.find(resource, name)
        if found is None:
            raise NOT_FOUND
        return found

    def _write(self, name: str, carry_out: Callable[[], Any]) -> Any:
        number, killed_at = len(self.writes), self.killed_at
        self.writes.append(name)
        if killed_at is not None and number >= killed_at[0]:
            self.killed_at = None
            if killed_at[1]:
                carry_out()
            raise Killed(name)
        return copy.deepcopy(carry_out())


def merged(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Applies a JSON merge patch (RFC 7386)."""
    result = dict(before)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            known = result.get(name)
            result[name] = merged(known if isinstance(known, Mapping) else {}, value)
        else:
            result[name] = copy.deepcopy(value)
    return result
