# SPDX-License-Identifier: Apache-2.0
"""KubeSchedules: implements the outside world of schedules: reads the cache, writes to the API."""

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_contract.object_names import is_object_name
from finetune_operator.job.observe.pods import controller_uid
from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.kube.writes import create_owned, tell_event, translated
from finetune_operator.objects.errors import Conflict
from finetune_operator.objects.names import (
    FINETUNE_JOBS,
    FINETUNE_SCHEDULES,
    LABEL_SCHEDULE,
    job_label,
)
from finetune_operator.objects.raw import Body, Manifest


class KubeSchedules:
    """Every response to a write is cached immediately, so a later read sees it."""

    def __init__(self, api: KubeApi, cache: ObjectCache) -> None:
        self._api = api
        self._cache = cache

    async def jobs_of(self, body: Body) -> Sequence[Body]:
        metadata = body["metadata"]
        known = {job["metadata"]["uid"] for job in self._cache.jobs_owned_by(metadata["uid"])}
        for reference in body.get("status", {}).get("active", ()):
            # A status can be edited by hand: a name becomes part of a request.
            if reference["uid"] not in known and is_object_name(reference["name"]):
                # Deleted, or not seen yet: a new leader's cache may be behind.
                await self._fetch(metadata["namespace"], reference["name"])
        return self._cache.jobs_owned_by(metadata["uid"])

    async def list_jobs_of(self, body: Body) -> Sequence[Body]:
        metadata = body["metadata"]
        selector = f"{LABEL_SCHEDULE}={job_label(metadata['name'])}"
        async for job in self._api.list_all(FINETUNE_JOBS, selector, metadata["namespace"]):
            self._cache.remember(Kind.JOB, job)
        # Together with the cached ones: a user may have removed the label.
        return self._cache.jobs_owned_by(metadata["uid"])

    async def confirm_newest(self, body: Body) -> None:
        metadata = body["metadata"]
        try:
            newest = await self._api.get(
                FINETUNE_SCHEDULES, metadata["namespace"], metadata["name"]
            )
        except ApiError as error:
            raise translated(error) from error
        self._cache.remember(Kind.SCHEDULE, newest)
        if newest["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
            raise Conflict

    async def create_job(self, manifest: Manifest) -> Body:
        created = await create_owned(self._api, FINETUNE_JOBS, manifest)
        self._cache.remember(Kind.JOB, created)
        return created

    async def delete_job(self, body: Body, name: str, uid: str) -> bool:
        namespace = body["metadata"]["namespace"]
        try:
            newest = await self._api.get(FINETUNE_JOBS, namespace, name)
            if controller_uid(newest) != body["metadata"]["uid"]:
                # Its owner was changed, and the cache was behind.
                self._cache.remember(Kind.JOB, newest)
                return False
            # Its children are deleted after it; their pods get their time to save.
            await self._api.delete(FINETUNE_JOBS, namespace, name, uid, policy="Background")
        except ApiError as error:
            if error.status not in (404, 409):
                raise
        gone = {"metadata": {"namespace": namespace, "name": name, "uid": uid}}
        self._cache.forget(Kind.JOB, gone)
        return True

    async def write_status(self, body: Body, patch: Mapping[str, Any]) -> None:
        try:
            written = await self._api.patch_status(FINETUNE_SCHEDULES, body, patch)
        except ApiError as error:
            raise translated(error) from error
        self._cache.remember(Kind.SCHEDULE, written)

    async def tell(self, event: Manifest) -> None:
        await tell_event(self._api, event)

    async def _fetch(self, namespace: str, name: str) -> None:
        try:
            found = await self._api.get(FINETUNE_JOBS, namespace, name)
        except ApiError as error:
            if error.status != 404:
                raise
        else:
            self._cache.remember(Kind.JOB, found)
