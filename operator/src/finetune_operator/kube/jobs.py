# SPDX-License-Identifier: Apache-2.0
"""KubeCluster: implements the outside world of `reconcile`: reads the cache, writes to the API."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import product
from typing import Any

from finetune_operator.job.attempts import Result, parse_attempts
from finetune_operator.job.observe.endings import is_done_with, is_over
from finetune_operator.job.observe.observation import Children
from finetune_operator.job.observe.pods import controller_uid, lacks_pods
from finetune_operator.job.observe.strays import Strays, find_strays, is_stray
from finetune_operator.job.spec import key_of
from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.kube.failed_creates import find_complaint
from finetune_operator.kube.pod_events import find_pod_words
from finetune_operator.kube.workloads import KubeQueue
from finetune_operator.kube.writes import (
    Ownerless,
    create_owned,
    differs,
    find_or_create_owned,
    has_label_of,
    is_as_made,
    tell_event,
    translated,
)
from finetune_operator.objects.errors import Conflict
from finetune_operator.objects.names import (
    CONFIG_MAPS,
    FINETUNE_JOBS,
    LABEL_JOB,
    NETWORK_POLICIES,
    PODS,
    RESOURCES_BY_KIND,
    SERVICES,
    TRAINING_JOBS,
    JobKey,
    Resource,
    job_label,
)
from finetune_operator.objects.raw import Body, Manifest
from finetune_operator.objects.times import render_time
from finetune_operator.telemetry.logs import say


class KubeCluster:
    """Every response to a write is cached immediately, so a later read sees it."""

    def __init__(
        self,
        api: KubeApi,
        cache: ObjectCache,
        now: Callable[[], datetime],
        *,
        has_policies: bool = True,
    ) -> None:
        """Without `has_policies` NetworkPolicies are never requested: permission may be missing."""
        self._api = api
        self._now = now
        policies = (NETWORK_POLICIES,) if has_policies else ()
        # The Job last: while it exists, the rest is searched again.
        self._children = (CONFIG_MAPS, SERVICES, *policies, TRAINING_JOBS)
        self._queue = KubeQueue(api)
        self._cache = cache

    async def children_of(self, body: Body) -> Children:
        key = key_of(body)
        children = self._cache.children_of(key)
        attempts = parse_attempts(body.get("status", {}))
        expected = {attempt.name for attempt in attempts if attempt.result is Result.RUNNING}
        known = {found["metadata"]["name"] for found in children.training_jobs}
        for name in expected - known:
            # Deleted, or not seen yet: a new leader's cache may be behind.
            await self._fetch_training_job(key.namespace, name)
        children = self._cache.children_of(key)
        for found in children.training_jobs:
            if controller_uid(found) != body["metadata"]["uid"] or is_over(found):
                continue
            if found["spec"].get("suspend"):
                return replace(children, workload=await self._queue.find_workload(found))
            words = await find_pod_words(self._api, found, children.pods, self._now())
            refused = lacks_pods(found)
            complaint = await find_complaint(self._api, found) if refused else ""
            if words or complaint:
                return replace(children, pod_events=words, complaint=complaint)
        return children

    async def confirm_newest(self, body: Body) -> None:
        metadata = body["metadata"]
        try:
            newest = await self._api.get(FINETUNE_JOBS, metadata["namespace"], metadata["name"])
        except ApiError as error:
            raise translated(error) from error
        self._cache.remember(Kind.JOB, newest)
        if newest["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
            raise Conflict

    async def confirm_none_runs(self, body: Body) -> None:
        key = key_of(body)
        selector = f"{LABEL_JOB}={job_label(body['metadata']['name'])}"
        # The watch of pods may lag behind that of Jobs: a deleted Job's pod may not be known yet.
        pods = [pod async for pod in self._api.list_all(PODS, selector, key.namespace)]
        # Another job's pods may have the same label.
        own = [pod for pod in pods if self._cache.remember(Kind.POD, pod) == key]
        if not all(map(is_done_with, own)):
            raise Conflict

    async def create(self, manifest: Manifest) -> None:
        resource = RESOURCES_BY_KIND[manifest["kind"]]
        if resource is TRAINING_JOBS:
            try:
                found = await create_owned(self._api, resource, manifest)
            except Ownerless as stray:
                # The next pass ends it, and waits for its pods.
                self._cache.remember(Kind.TRAINING_JOB, stray.found)
                raise
            self._remember_training_job(manifest, found)
            return
        # An attempt's Job is created last: if it is known, the rest was created before.
        make = find_or_create_owned if self._has_training_job(manifest) else create_owned
        try:
            found = await make(self._api, resource, manifest)
        except Ownerless as stray:
            found = await self._create_instead_of(stray, resource, manifest)
        if not is_as_made(manifest, found):
            await self._replace(resource, manifest, found)

    async def delete_training_job(self, namespace: str, name: str) -> None:
        try:
            found = await self._api.get(TRAINING_JOBS, namespace, name)
            uid = found["metadata"]["uid"]
            # In the foreground: as long as the Job exists, the last state of its pods can be read.
            await self._api.delete(TRAINING_JOBS, namespace, name, uid, policy="Foreground")
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def end_strays(self, strays: Strays) -> None:
        for training_job in strays.training_jobs:
            await self._end_stray(Kind.TRAINING_JOB, training_job, policy="Foreground")
        for pod in strays.pods:
            await self._end_stray(Kind.POD, pod, policy="Background")

    async def end_bare_pods(self, key: JobKey) -> None:
        await self.end_strays(find_strays((), self._cache.children_of(key).pods))

    async def delete_children(self, body: Body, names: Sequence[str]) -> None:
        namespace = body["metadata"]["namespace"]
        for name, resource in product(names, self._children):
            try:
                found = await self._api.get(resource, namespace, name)
                if controller_uid(found) == body["metadata"]["uid"] or is_stray(found):
                    uid = found["metadata"]["uid"]
                    await self._api.delete(resource, namespace, name, uid, policy="Background")
            except ApiError as error:
                if error.status not in (404, 409):
                    raise

    async def write_status(self, body: Body, patch: Mapping[str, Any]) -> None:
        try:
            written = await self._api.patch_status(FINETUNE_JOBS, body, patch)
        except ApiError as error:
            raise translated(error) from error
        self._cache.remember(Kind.JOB, written)

    async def tell(self, event: Manifest) -> None:
        await tell_event(self._api, event)

    def _remember_training_job(self, manifest: Manifest, found: Body) -> None:
        """
        Raises:
            Conflict: the Job exists for another spec: an attempt that was not seen yet.
            NotYet: the same, but no watch will report it.
        """
        if not has_label_of(manifest, found):
            raise differs(manifest)
        self._cache.remember(Kind.TRAINING_JOB, found)
        if not is_as_made(manifest, found):
            raise Conflict

    def _has_training_job(self, manifest: Manifest) -> bool:
        """Whether the Job of the same attempt is known."""
        key, name = Kind.TRAINING_JOB.key_of(manifest), manifest["metadata"]["name"]
        known = self._cache.children_of(key).training_jobs if isinstance(key, JobKey) else ()
        own = (it for it in known if controller_uid(it) == controller_uid(manifest))
        return any(it["metadata"]["name"] == name for it in own)

    async def _end_stray(self, kind: Kind, stray: Body, *, policy: str) -> None:
        metadata = stray["metadata"]
        namespace, name, uid = metadata["namespace"], metadata["name"], metadata["uid"]
        say("stray ended", kind=kind.resource.plural, name=name, namespace=namespace)
        try:
            await self._api.delete(kind.resource, namespace, name, uid, policy=policy)
        except ApiError as error:
            # Without permission to delete pods, as in an older release, the operator waits.
            if error.status not in (403, 404, 409):
                raise
        else:
            going = {**metadata, "deletionTimestamp": render_time(self._now())}
            self._cache.remember(kind, {**stray, "metadata": going})

    async def _create_instead_of(
        self, stray: Ownerless, resource: Resource, manifest: Manifest
    ) -> Body:
        """Replaces an object that a backup or an orphaned attempt has left.

        Raises:
            NotYet: its Job still exists, and its pods may read it.
        """
        metadata = stray.found["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        if await self._fetch_training_job(namespace, name):
            raise stray
        say("stray replaced", kind=manifest["kind"], name=name, namespace=namespace)
        return await self._recreate(resource, manifest, stray.found)

    async def _replace(self, resource: Resource, manifest: Manifest, found: Body) -> None:
        """Replaces an object of an attempt that ended before its Job was created."""
        metadata = found["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        if await self._fetch_training_job(namespace, name):
            # Its pods may already read it: the Job was made for it, and its trainer checks that.
            return
        say("child replaced", kind=manifest["kind"], name=name, namespace=namespace)
        if not is_as_made(manifest, await self._recreate(resource, manifest, found)):
            raise differs(manifest)

    async def _recreate(self, resource: Resource, manifest: Manifest, old: Body) -> Body:
        """Creates the object in place of an old one of its name, which may already be deleted."""
        metadata = old["metadata"]
        namespace, name, uid = metadata["namespace"], metadata["name"], metadata["uid"]
        try:
            await self._api.delete(resource, namespace, name, uid, policy="Background")
        except ApiError as error:
            if error.status not in (404, 409):
                raise
        return await create_owned(self._api, resource, manifest)

    async def _fetch_training_job(self, namespace: str, name: str) -> bool:
        """Whether it exists; the operator's own is cached."""
        try:
            found = await self._api.get(TRAINING_JOBS, namespace, name)
        except ApiError as error:
            if error.status != 404:
                raise
            return False
        # Another owner's Job may have the name.
        if LABEL_JOB in found["metadata"].get("labels", {}):
            self._cache.remember(Kind.TRAINING_JOB, found)
        return True
