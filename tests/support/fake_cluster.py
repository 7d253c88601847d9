# SPDX-License-Identifier: Apache-2.0
"""A fake API server in memory for `reconcile`, which can crash before or after any write."""

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from finetune_operator.job.observe.observation import Children
from finetune_operator.job.observe.pods import controller_uid
from finetune_operator.job.observe.strays import Strays
from finetune_operator.objects.errors import Conflict, Gone, NotYet
from finetune_operator.objects.names import JobKey
from finetune_operator.objects.raw import Body, Manifest
from finetune_operator.objects.times import render_time
from support.factories import NOW


class Crash(BaseException):
    """The operator is killed here: none of its code may handle this."""


class FakeCluster:
    """Contains one FineTuneJob and its children."""

    def __init__(self, job: Body) -> None:
        self.job: Any = copy.deepcopy(dict(job))
        self.objects: dict[tuple[str, str], Any] = {}
        self.events: list[Manifest] = []
        self.writes: list[str] = []
        self.crash_before: int | None = None
        self.crash_after: int | None = None
        """Numbers of writes, counted from 0."""

    @property
    def status(self) -> Any:
        return self.job.get("status", {})

    def training_jobs(self) -> list[Any]:
        return [found for (kind, _), found in self.objects.items() if kind == "Job"]

    async def children_of(self, body: Body) -> Children:
        pods = [found for (kind, _), found in self.objects.items() if kind == "Pod"]
        return copy.deepcopy(Children(training_jobs=self.training_jobs(), pods=pods))

    async def confirm_newest(self, body: Body) -> None:
        if self.job is None:
            raise Gone
        if body["metadata"]["resourceVersion"] != self.job["metadata"]["resourceVersion"]:
            raise Conflict

    async def confirm_none_runs(self, body: Body) -> None:
        """Its cache is never stale."""

    async def create(self, manifest: Manifest) -> None:
        self._write(f"create {manifest['kind']}", lambda: self._create(manifest))

    async def delete_training_job(self, namespace: str, name: str) -> None:
        self._write(f"delete {name}", lambda: self._begin_deletion(name))

    async def end_strays(self, strays: Strays) -> None:
        for stray in (*strays.training_jobs, *strays.pods):
            name = stray["metadata"]["name"]
            self._write(f"end stray {name}", partial(self._begin_deletion, name))

    async def end_bare_pods(self, key: JobKey) -> None:
        """It always has a job."""

    async def delete_children(self, body: Body, names: Sequence[str]) -> None:
        for kind, name in [*self.objects]:
            if name in names:
                self._write(f"delete {kind} {name}", partial(self.objects.pop, (kind, name), None))

    async def write_status(self, body: Body, patch: Mapping[str, Any]) -> None:
        await self.confirm_newest(body)
        self._write("status", lambda: self.merge_status(patch))

    async def tell(self, event: Manifest) -> None:
        self._write("event", lambda: self.events.append(event))

    def merge_status(self, patch: Mapping[str, Any]) -> None:
        """Like a merge patch; also for writes of other clients."""
        metadata = self.job["metadata"]
        self.job["status"] = _merged(self.status, patch)
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)

    def _begin_deletion(self, name: str) -> None:
        """In the foreground: it is deleted after its pods."""
        for found in (self.objects.get(("Job", name)), self.objects.get(("Pod", name))):
            if found is None:
                continue
            found["metadata"]["deletionTimestamp"] = render_time(NOW)

    def _create(self, manifest: Manifest) -> None:
        identity = (manifest["kind"], manifest["metadata"]["name"])
        known = self.objects.get(identity)
        if known is not None:
            if controller_uid(known) != controller_uid(manifest):
                raise NotYet(f"{identity[1]} is taken", after=NOW - NOW)
            return
        made = copy.deepcopy(manifest)
        made["metadata"] |= {
            "uid": f"uid-of-{self.job['metadata']['uid']}-{identity[1].rsplit('-', 1)[1]}",
            "creationTimestamp": render_time(NOW),
        }
        self.objects[identity] = made

    def _write(self, name: str, write: Any) -> None:
        number = len(self.writes)
        self.writes.append(name)
        if number == self.crash_before:
            raise Crash(f"before {name}")
        write()
        if number == self.crash_after:
            raise Crash(f"after {name}")


def _merged(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(before)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            merged[name] = _merged(merged.get(name, {}), value)
        else:
            merged[name] = value
    return merged
