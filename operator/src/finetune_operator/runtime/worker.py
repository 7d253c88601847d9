# SPDX-License-Identifier: Apache-2.0
"""A worker takes a key from the queue, reconciles its object, and decides when to try again."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from finetune_operator.job.cluster import FindModel, JobCluster, knows_no_model
from finetune_operator.job.known_specs import KnownSpecs
from finetune_operator.job.reconcile import reconcile
from finetune_operator.kube.cache import ObjectCache
from finetune_operator.kube.client import ApiError
from finetune_operator.kube.large import FindWhole, already_whole
from finetune_operator.objects.errors import Conflict, Gone, NotLeading
from finetune_operator.objects.internal_error import with_internal_error
from finetune_operator.objects.large import is_outline
from finetune_operator.objects.names import KIND, SCHEDULE_KIND, JobKey, Key, ScheduleKey
from finetune_operator.objects.raw import Body
from finetune_operator.objects.reconciled import Reconciled
from finetune_operator.objects.tally import Tally
from finetune_operator.runtime.metric_labels import API_REASONS, REASONS, label
from finetune_operator.schedule.cluster import ScheduleCluster
from finetune_operator.schedule.reconcile import reconcile_schedule
from finetune_operator.settings import Settings
from finetune_operator.telemetry import metrics
from finetune_operator.telemetry.logs import say, say_error
from finetune_operator.work_queue import WorkQueue

FEW_TRIES = 3
"""How often an unexpected error may happen before it is shown in the object's status."""

LARGE_WAITS = timedelta(seconds=0.5)
"""The wait of a large object while another one is processed."""

_REFUSALS_OF_OURS = (400, 413, 422)
"""Codes of an invalid write: no later try of it can succeed."""


Count = Callable[[str, Tally], None]
"""Adds the result of a job to the counters of its namespace."""


def count_nothing(namespace: str, tally: Tally) -> None:
    """A `Count` for use without counters."""


class Worker:
    """Several of its `run` may execute concurrently: the queue never gives them the same key."""

    def __init__(
        self,
        queue: WorkQueue[Key],
        cache: ObjectCache,
        cluster: JobCluster,
        settings: Settings,
        now: Callable[[], datetime],
        find_model: FindModel = knows_no_model,
        schedules: ScheduleCluster | None = None,
        find_whole: FindWhole = already_whole,
        count: Count = count_nothing,
    ) -> None:
        self._queue = queue
        self._cache = cache
        self._cluster = cluster
        self._settings = settings
        self._now = now
        self._find_model = find_model
        self._schedules = schedules
        self._specs = KnownSpecs()
        self._find_whole = find_whole
        self._count = count
        self._large = asyncio.Lock()
        """Only one large object is in memory at a time, and no worker waits for it."""

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            async with self._queue.take() as key:
                await self._work_on(key)
            # A pass that requests nothing does not wait: thousands of them would delay the Lease.
            await asyncio.sleep(0)

    async def _work_on(self, key: Key) -> None:
        began = time.monotonic()
        result, reason = await self._try(key)
        kind = SCHEDULE_KIND if isinstance(key, ScheduleKey) else KIND
        metrics.note_reconcile(kind, result, reason, time.monotonic() - began)

    async def _try(self, key: Key) -> tuple[str, str]:
        """The result and its reason: every error is translated, and none propagates."""
        try:
            done = await self._reconcile(key)
        except Gone:
            done = None
        except _OthersFirst:
            self._queue.add_after(key, LARGE_WAITS)
            return "postponed", "Large"
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
            told = self._try_again(key, error)
            if _is_ours(error) and self._queue.failures(key) >= FEW_TRIES:
                await self._tell_internal_error(key, error)
            return told
        self._queue.forget_failures(key)
        if done is None:
            return "unchanged", "Gone"
        self._count(key.namespace, done.tally)
        if done.has_written:
            say("decided", job=key, phase=done.phase, reason=done.reason, message=done.message)
        if done.check_again_in is not None:
            self._queue.add_after(key, done.check_again_in)
        return "written" if done.has_written else "unchanged", label(done.reason, REASONS)

    def _try_again(self, key: Key, error: Exception) -> tuple[str, str]:
        delay = self._queue.retry(key)
        if isinstance(error, Conflict | NotLeading):
            # The newer version arrives soon, or another replica leads: neither is worth a log line.
            return "postponed", type(error).__name__
        if isinstance(error, ApiError):
            # Its message is sufficient: a missing permission, an outage.
            say("not reconciled", level=logging.WARNING, job=key, error=error, retry_in=delay)
            return "failed", label(error.reason, API_REASONS) if error.reason else str(error.status)
        say_error("not reconciled", error, job=key, retry_in=delay)
        return "failed", type(error).__name__

    async def _tell_internal_error(self, key: Key, error: Exception) -> None:
        """Writes it to the status once; its event causes one more try, without a change."""
        try:
            body = self._find(key)
            cluster = self._schedules if isinstance(key, ScheduleKey) else self._cluster
            told = None if body is None else with_internal_error(body, error, self._now())
            if body is not None and cluster is not None and told is not None:
                await cluster.write_status(body, {"conditions": told})
        except (Conflict, Gone, NotLeading):
            # Reported at the next try, from the newer version or by another replica.
            return
        except Exception as failure:  # noqa: BLE001 - the log has it; the next try reports it again
            say("internal error not recorded", level=logging.WARNING, job=key, error=failure)

    async def _reconcile(self, key: Key) -> Reconciled | None:
        """None if the object no longer needs a pass."""
        body = self._find(key)
        if body is None:
            if isinstance(key, JobKey):
                await self._cluster.end_bare_pods(key)
            return None
        if not is_outline(body):
            return await self._reconcile_body(key, body)
        if self._large.locked():
            raise _OthersFirst
        async with self._large:
            return await self._reconcile_body(key, await self._find_whole(body))

    def _find(self, key: Key) -> Body | None:
        if isinstance(key, ScheduleKey):
            return self._cache.find_schedule(key)
        return self._cache.find_job(key)

    async def _reconcile_body(self, key: Key, body: Body) -> Reconciled | None:
        if isinstance(key, ScheduleKey):
            return await self._reconcile_schedule(body)
        return await reconcile(
            body,
            cluster=self._cluster,
            settings=self._settings,
            now=self._now(),
            find_model=self._find_model,
            read=self._specs.read,
        )

    async def _reconcile_schedule(self, body: Body) -> Reconciled | None:
        if self._schedules is None:
            return None
        return await reconcile_schedule(
            body,
            cluster=self._schedules,
            settings=self._settings,
            now=self._now(),
            model=await self._find_model(body["spec"]["jobTemplate"]),
        )


class _OthersFirst(Exception):
    """Another large object is being processed."""


def _is_ours(error: Exception) -> bool:
    """Whether neither the API server nor another replica is the cause."""
    if isinstance(error, ApiError):
        return error.status in _REFUSALS_OF_OURS
    return not isinstance(error, Conflict | NotLeading)
