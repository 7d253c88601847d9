# SPDX-License-Identifier: Apache-2.0
"""KubeCluster: the outside world of `reconcile` for real; reads from memory, writes to the API."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from finetune_operator.attempts import Result, parse_attempts
from finetune_operator.errors import Conflict, Gone, NotYet
from finetune_operator.kube_api import ApiError, KubeApi
from finetune_operator.logs import say
from finetune_operator.manifest import Body, Manifest
from finetune_operator.memory import Kind, Memory
from finetune_operator.naming import (
    EVENTS,
    FINETUNE_JOBS,
    LABEL_JOB,
    RESOURCES_BY_KIND,
    TRAINING_JOBS,
)
from finetune_operator.observation import Children, controller_uid
from finetune_operator.spec import key_of

NAME_TAKEN_DELAY = timedelta(seconds=5)


class KubeCluster:
    """Every answer of the API server to a write is remembered at once: what was written is read."""

    def __init__(self, api: KubeApi, memory: Memory) -> None:
        self._api = api
        self._memory = memory

    async def children_of(self, body: Body) -> Children:
        key = key_of(body)
        children = self._memory.children_of(key)
        attempts = parse_attempts(body.get("status", {}))
        expected = {attempt.name for attempt in attempts if attempt.result is Result.RUNNING}
        known = {found["metadata"]["name"] for found in children.training_jobs}
        for name in expected - known:
            # Deleted, or only not heard of yet: whoever takes over from another may be behind.
            await self._fetch_training_job(key.namespace, name)
        return self._memory.children_of(key)

    async def confirm_newest(self, body: Body) -> None:
        metadata = body["metadata"]
        try:
            newest = await self._api.get(FINETUNE_JOBS, metadata["namespace"], metadata["name"])
        except ApiError as error:
            raise _translated(error) from error
        self._memory.remember(Kind.JOB, newest)
        if newest["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
            raise Conflict

    async def create(self, manifest: Manifest) -> None:
        resource = RESOURCES_BY_KIND[manifest["kind"]]
        try:
            created = await self._api.create(resource, manifest)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            created = await self._find_own(manifest)
        if resource is TRAINING_JOBS:
            self._memory.remember(Kind.TRAINING_JOB, created)

    async def write_status(self, body: Body, patch: Mapping[str, Any]) -> None:
        try:
            written = await self._api.patch_status(FINETUNE_JOBS, body, patch)
        except ApiError as error:
            raise _translated(error) from error
        self._memory.remember(Kind.JOB, written)

    async def tell(self, event: Manifest) -> None:
        try:
            await self._api.create(EVENTS, event)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                say("event not recorded", event=event["reason"], error=error)

    async def _fetch_training_job(self, namespace: str, name: str) -> None:
        try:
            found = await self._api.get(TRAINING_JOBS, namespace, name)
        except ApiError as error:
            if error.status != 404:
                raise
        else:
            # Somebody else's Job may have the name.
            if LABEL_JOB in found["metadata"].get("labels", {}):
                self._memory.remember(Kind.TRAINING_JOB, found)

    async def _find_own(self, manifest: Manifest) -> Body:
        """The object that has this name already, when we made it before."""
        kind, metadata = manifest["kind"], manifest["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        taken = NotYet(
            f"{kind} {name} exists already and belongs to something else: waiting until it is gone",
            after=NAME_TAKEN_DELAY,
        )
        try:
            found = await self._api.get(RESOURCES_BY_KIND[kind], namespace, name)
        except ApiError as error:
            if error.status != 404:
                raise
            raise taken from error
        is_going = "deletionTimestamp" in found["metadata"]
        if controller_uid(found) != controller_uid(manifest) or is_going:
            raise taken
        return found


def _translated(error: ApiError) -> Exception:
    """What an error of writing to a job means to the one who writes."""
    match error.status:
        case 404:
            return Gone()
        case 409:
            return Conflict()
    return error
