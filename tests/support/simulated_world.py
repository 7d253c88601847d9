# SPDX-License-Identifier: Apache-2.0
"""The operator's real reconcile, cache and cluster in a simulated world, and its invariants.

It has late events, crashes and a wrong clock; `settle` lets all actors work until nothing changes,
and `check` tests the invariants of every moment.
"""

import asyncio
import copy
from datetime import datetime, timedelta
from typing import Any

from finetune_contract.outcome import Category
from finetune_operator.job.known_specs import KnownSpecs
from finetune_operator.job.observe.endings import has_ended
from finetune_operator.job.observe.pods import controller_uid
from finetune_operator.job.reconcile import reconcile
from finetune_operator.job.spec import ReadSpec, definition_of, key_of, read_spec
from finetune_operator.job.status.finished import is_finished
from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.kube.jobs import KubeCluster
from finetune_operator.kube.relist import fill_cache, forget_vanished
from finetune_operator.objects import conditions
from finetune_operator.objects.errors import Conflict, Gone
from finetune_operator.objects.names import (
    ANNOTATION_DIGEST,
    LABEL_ATTEMPT,
    TRAINING_JOBS,
    Resource,
)
from finetune_operator.objects.raw import Body
from finetune_operator.settings import Settings
from finetune_spec.job import KnownModel
from support.factories import SETTINGS, a_good_outcome, a_job_body
from support.simulated_api import Killed, SimulatedApi
from support.simulated_cluster import NAME, SimulatedCluster

MAX_ATTEMPTS = 3
MAX_WRITES_TO_REST = 40


class World(SimulatedCluster):
    def __init__(self, *, nodes: int = 1) -> None:
        super().__init__(resources={"nodes": nodes, "gpusPerNode": 1}, onChange="Rerun")
        self.skew = timedelta()
        """The error of the operator's clock."""
        self.recorded: set[tuple[str, str]] = set()
        """The attempts of each job that a status has listed."""
        self.over: tuple[str, str | None, list[bool]] | None = None
        """The jobs and definitions that have ended, and whether complete or failed."""
        self.start_operator()

    # The operator: one worker, one key.

    def start_operator(self) -> None:
        self.cache = ObjectCache()
        self.specs = KnownSpecs()
        self.api = SimulatedApi(self.etcd, self.stamp)
        self.api.on_create = self._check_creation
        self.cluster = KubeCluster(self.api, self.cache, lambda: self.clock + self.skew)
        self.heard = dict.fromkeys(Kind, len(self.etcd.events))
        asyncio.run(fill_cache(self.api, self.cache))
        self.is_due, self.due = True, None

    def hear(self, kind: Kind) -> bool:
        """The next event of this watch; False if there is none."""
        events = self.etcd.events
        while self.heard[kind] < len(events):
            event = events[self.heard[kind]]
            self.heard[kind] += 1
            if event.kind is kind:
                self._notice(kind, event.body, is_gone=event.is_gone)
                return True
        return False

    def list_again(self, kind: Kind) -> None:
        """A restarted watch reports existing objects, never deleted ones."""
        self.heard[kind] = len(self.etcd.events)
        for body in self.etcd.all(kind.resource):
            self._notice(kind, copy.deepcopy(body), is_gone=False)

    def relist(self) -> None:
        if asyncio.run(forget_vanished(self.api, self.cache)):
            self.is_due = True

    def work(self) -> bool:
        """One pass, if one is due; else False."""
        now = self.clock + self.skew
        if not self.is_due and (self.due is None or self.due > now):
            return False
        body = self.cache.find_job(key_of(self.job or a_job_body(NAME)))
        self.is_due, self.due = False, None
        if body is None:
            asyncio.run(self.cluster.end_bare_pods(key_of(a_job_body(NAME))))
            return False
        try:
            asyncio.run(self._reconcile(body, now))
        except Killed:
            self.start_operator()
        return True

    async def _reconcile(self, body: Body, now: datetime) -> None:
        try:
            done = await reconcile(
                body, cluster=self.cluster, settings=SETTINGS, now=now, read=self._read
            )
        except Conflict:
            self.is_due = True
        except Gone:
            pass
        else:
            if done is not None and done.check_again_in is not None:
                # A pass without changes waits for something.
                assert done.check_again_in > timedelta() or done.has_written
                self.due = now + done.check_again_in

    def _read(self, body: Body, settings: Settings, model: KnownModel | None = None) -> ReadSpec:
        known = self.specs.read(body, settings, model)
        assert known == read_spec(body, settings, model), "what is kept of a spec is not true of it"
        return known

    def _notice(self, kind: Kind, body: Body, *, is_gone: bool) -> None:
        (self.cache.forget if is_gone else self.cache.remember)(kind, body)
        self.is_due = True

    # Invariants.

    def settle(self) -> None:
        """No more disturbances: everything comes to rest, and the job ends."""
        self.skew, before = timedelta(), len(self.api.writes)
        for _ in range(400):
            heard = sum(self.hear(kind) for kind in Kind) > 0
            moved = (
                self.hold(is_held=False),
                self.control_jobs(),
                self.run_pods(a_good_outcome()),
                self.collect_garbage(),
            )
            self.check()
            worked = self.work()
            self.check()
            if heard or worked or any(moved):
                continue
            self.relist()
            if self.is_due:
                continue
            if self.due is None:
                break
            self.clock = max(self.clock, self.due)
        else:
            raise AssertionError(f"nothing comes to rest: {self.status}")
        # A start takes four writes and an end two; rarely are there more than three attempts left.
        assert len(self.api.writes) - before <= MAX_WRITES_TO_REST
        expected = {"Succeeded", "Failed"}
        if self.is_suspended:
            expected.add("Suspended")
        if "learning_rte" in self.job["spec"]["config"]:
            expected = {"Pending"}
        assert self.status.get("phase") in expected, self.status
        assert self.status["observedGeneration"] == self.job["metadata"]["generation"]
        assert not [pod for pod in self.pods() if not has_ended(pod)]

    @property
    def is_suspended(self) -> bool:
        return bool(self.job["spec"].get("suspend"))

    def check(self) -> None:
        """At any moment, as seen by the API server."""
        live = {controller_uid(pod) for pod in self.pods() if not has_ended(pod)}
        assert len(live) <= 1, f"pods of two attempts run: {live}"
        if self.job is None:
            return
        found, records = self.status.get("conditions", ()), self.status.get("attempts", [])
        ends = [conditions.is_true(found, type_) for type_ in ("Complete", "Failed")]
        assert sum(ends) <= 1
        self._check_that_it_stays_over(ends)
        numbers = [record["number"] for record in records]
        assert numbers == sorted(set(numbers))
        uid = self.job["metadata"]["uid"]
        self.recorded |= {(uid, record["name"]) for record in records}
        # Since the last change; an edit of the limit itself leaves it at 3 or less.
        # An invalid edit in the moment of the first start leaves attempts without a definition.
        current = [
            it["definition"] == self.status.get("definition", it["definition"]) for it in records
        ]
        since = len(records) - current[::-1].index(False) if False in current else 0
        assert sum(map(_is_counted, records[since:])) <= MAX_ATTEMPTS
        final = [record for record in records[since:-1] if _is_final(record)]
        assert not final, f"tried again: {final}"

    def _check_that_it_stays_over(self, ends: list[bool]) -> None:
        """While its spec has the same definition, and no invalid edit.

        If such an edit is reverted with other limits, a failed job may be retried.
        """
        accepted = conditions.find(self.status.get("conditions", ()), "Accepted") or {}
        if accepted.get("status") == "False":
            self.over = None
            return
        what = (self.job["metadata"]["uid"], self.status.get("definition"), ends)
        if self.over is not None and what[:2] == self.over[:2]:
            assert ends == self.over[2], "what was over is not any more"
        self.over = what if any(ends) else None

    def _check_creation(self, resource: Resource, body: Any) -> None:
        if resource != TRAINING_JOBS:
            return
        job, name = self.job, body["metadata"]["name"]
        assert controller_uid(body) == job["metadata"]["uid"]
        assert not is_finished(job), f"{name} is made for a job that has ended"
        assert not job["spec"].get("suspend"), f"{name} is made for a suspended job"
        assert (job["metadata"]["uid"], name) not in self.recorded, f"{name} is made twice"
        made_for = body["metadata"]["annotations"][ANNOTATION_DIGEST]
        assert made_for == definition_of(job["spec"])
        assert body["metadata"]["labels"][LABEL_ATTEMPT] == name.rpartition("-")[2]
        if self.is_queued:
            body["spec"]["suspend"] = True


def _is_counted(record: Body) -> bool:
    return record["result"] == "Failed" and record.get("category") != Category.OUT_OF_MEMORY


def _is_final(record: Body) -> bool:
    is_users = record["result"] == "Failed" and record.get("category") == Category.USER
    return is_users or record["result"] == "Succeeded"
