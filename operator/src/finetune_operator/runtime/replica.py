# SPDX-License-Identifier: Apache-2.0
"""One replica: combines cache, queue, leadership, the progress endpoint and the webhook.

All replicas watch, accept progress and review jobs; only the holder of the Lease has workers.
"""

import asyncio
import time
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from finetune_operator.inbound.listening import Listener
from finetune_operator.job.status.tally import find_tally_of_deletion
from finetune_operator.kube.cache import Kind, ObjectCache, schedule_of
from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.kube.cluster_identity import find_cluster_id
from finetune_operator.kube.jobs import KubeCluster
from finetune_operator.kube.large import WholeObjects
from finetune_operator.kube.lease import KubeLease
from finetune_operator.kube.model_configs import ModelConfigs
from finetune_operator.kube.relist import fill_cache, forget_vanished, is_defined, tell_skipped
from finetune_operator.kube.schedules import KubeSchedules
from finetune_operator.kube.totals import KubeTotals
from finetune_operator.objects.names import KIND, SCHEDULE_KIND, Key
from finetune_operator.objects.raw import Body
from finetune_operator.progress.authentication import TokenChecker
from finetune_operator.progress.server import ProgressServer, build_app
from finetune_operator.progress.writer import ProgressWriter
from finetune_operator.runtime.job_metrics import measure_internal_errors, measure_jobs
from finetune_operator.runtime.leadership import Clock, Leadership, Timing
from finetune_operator.runtime.relisting import Relisting
from finetune_operator.runtime.schedule_metrics import measure_schedules
from finetune_operator.runtime.totals import Totals
from finetune_operator.runtime.worker import Worker
from finetune_operator.settings import Settings
from finetune_operator.telemetry import metrics
from finetune_operator.telemetry.logs import say, say_error
from finetune_operator.telemetry.metrics import WORK_QUEUE, Gauges, QueueMetrics, Sample
from finetune_operator.webhook.registration import Webhook, build_webhook
from finetune_operator.work_queue import WorkQueue

STUCK_AFTER = timedelta(minutes=5)
"""Every request has a timeout far below this: a slower worker never returns."""

WARM_UP_PERIOD = timedelta(seconds=2)
LOOK_FOR_SCHEDULES = timedelta(seconds=10)


class Replica:
    """Started and stopped by the runtime, which calls `notice` for each event in between."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cache = ObjectCache()
        self._models = ModelConfigs(settings.model_configs, time.monotonic)
        self._queue: WorkQueue[Key] = WorkQueue(QueueMetrics())
        self._tasks: list[asyncio.Task[None]] = []
        self._is_warm = False
        self._has_schedules = True
        self._webhook: Webhook | None = None
        self._relisting = Relisting()
        self._leadership: Leadership | None = None
        self._totals = Totals()
        self._gauges = Gauges(self._measure)
        self._is_stopping = False
        self.has_failed = asyncio.Event()
        """Set when a part has died: the process must end, and be restarted."""
        self.has_stopped = asyncio.Event()

    async def start(self) -> None:
        """Returns when the cache is warm; events may arrive from then on."""
        settings = self._settings
        self._api = await KubeApi.connect(settings.kubeconfig)
        # A separate client: a peer that has tokens reviewed must not delay the Lease.
        self._lease_api = await KubeApi.connect(settings.kubeconfig)
        self._writer = ProgressWriter(self._api, self._cache, settings.progress_interval, _now)
        self._server = await self._serve()
        try:
            await self._warm_up()
        except asyncio.CancelledError:
            await self._server.stop()
            await self._close_clients()
            raise
        clock = Clock(monotonic=time.monotonic, now=_now)
        lease = KubeLease(self._lease_api, settings.namespace)
        leadership = Leadership(lease, settings.identity, Timing(), clock)
        self._leadership = leadership
        self._gauges.expose()
        self._spawn("leadership", leadership.run(partial(self._lead, leadership)))
        self._spawn("relist", self._relist_now_and_then())
        if not self._has_schedules:
            self._spawn("schedules", self._end_when_there_are_schedules())
        self._spawn("progress", self._writer.run())
        self._webhook = build_webhook(settings, self._api, _now, self._models.find)
        if self._webhook is not None:
            self._spawn("webhook", self._webhook.run())
        say("replica started", identity=settings.identity, port=settings.port)

    async def stop(self) -> None:
        """Stops the workers, then releases the Lease, then writes the trainers' last reports."""
        self._is_stopping = True
        for task in self._tasks:
            task.cancel()
            await asyncio.wait([task])
        self._gauges.withdraw()
        await self._server.stop()
        await self._writer.flush()
        await self._close_clients()
        self.has_stopped.set()
        say("replica stopped", identity=self._settings.identity)

    def notice(self, kind: Kind, body: Body, *, is_gone: bool) -> None:
        """Caches the object of an event and enqueues its job."""
        try:
            self._notice(kind, body, is_gone=is_gone)
        except Exception as error:  # noqa: BLE001 - one object must not end the watch of all others
            tell_skipped(kind, body, "watch", error)

    def _notice(self, kind: Kind, body: Body, *, is_gone: bool) -> None:
        known = self._cache.find_known(kind, body["metadata"]["uid"])
        if kind is Kind.JOB:
            for one in (known, body):
                # Before and after: an edited label or owner affects two.
                self._enqueue(None if one is None else schedule_of(one))
            if is_gone:
                self._count_deletion(body)
        self._enqueue(self._cache.key_of(body["metadata"]["uid"]))
        cached = self._cache.forget if is_gone else self._cache.remember
        self._enqueue(cached(kind, body))

    def _count_deletion(self, body: Body) -> None:
        """Counts a deleted job from its last known status, once. Only the leader counts."""
        known = self._cache.find_known(Kind.JOB, body["metadata"]["uid"])
        if known is None or not self._is_leading:
            return
        try:
            tally = find_tally_of_deletion(known, _now())
        except (ValueError, TypeError, ArithmeticError, KeyError):
            # A status may be edited by hand.
            metrics.count_skipped(Kind.JOB.resource.plural, "metrics")
        else:
            self._totals.count(body["metadata"]["namespace"], tally)

    @property
    def _is_leading(self) -> bool:
        return self._leadership is not None and self._leadership.is_held

    def _enqueue(self, key: Key | None) -> None:
        """A follower queues nothing: a new leader begins with all keys of its cache."""
        if key is not None and self._is_leading:
            self._queue.add(key)

    def notice_listed(self) -> None:
        """Called when a watch begins or restarts: it never reports objects deleted meanwhile."""
        self._relisting.note()

    def is_healthy(self) -> bool:
        """Whether all parts are alive; a response to this request shows that the event loop is."""
        is_alive = not any(task.done() for task in self._tasks)
        return is_alive and self._queue.longest_work() < STUCK_AFTER

    def _measure(self) -> Iterator[Sample]:
        """Only the leader reports jobs: otherwise they would count once per replica."""
        yield Sample("finetune_operator_leader", self._is_leading)
        longest = self._queue.longest_work().total_seconds()
        unfinished = self._queue.unfinished_work().total_seconds()
        yield Sample("workqueue_longest_running_processor_seconds", longest, (WORK_QUEUE,))
        yield Sample("workqueue_unfinished_work_seconds", unfinished, (WORK_QUEUE,))
        if self._is_leading:
            yield Sample("workqueue_depth", self._queue.depth(), (WORK_QUEUE,))
            jobs, schedules = map(self._cache.present, (Kind.JOB, Kind.SCHEDULE))
            yield from measure_internal_errors(KIND, jobs)
            yield from measure_internal_errors(SCHEDULE_KIND, schedules)
            yield from measure_jobs(jobs)
            yield from measure_schedules(schedules)
            yield from self._totals.measure({it["metadata"]["namespace"] for it in jobs})

    def is_ready(self) -> bool:
        return self._is_warm and (self._webhook is None or self._webhook.is_settled)

    async def _warm_up(self) -> None:
        while not self._is_warm:
            try:
                namespaces = self._settings.watch_namespaces
                self._has_schedules = await is_defined(self._api, Kind.SCHEDULE, namespaces)
                await fill_cache(self._api, self._cache, namespaces)
                await self._identify_cluster()
                self._is_warm = True
            except Exception as error:  # noqa: BLE001 - the API server, or the CRD, may come later
                say("waiting for the API server", error=error, server=self._api.server)
                await asyncio.sleep(WARM_UP_PERIOD.total_seconds())

    async def _identify_cluster(self) -> None:
        if self._settings.cluster_id is None:
            cluster_id = await find_cluster_id(self._api)
            self._settings = replace(self._settings, cluster_id=cluster_id)

    async def _lead(self, leadership: Leadership) -> None:
        api, settings = self._api.fenced(leadership.check), self._settings
        worker = Worker(
            self._queue,
            self._cache,
            KubeCluster(api, self._cache, _now, has_policies=settings.has_network_policies),
            settings,
            _now,
            find_model=self._models.find,
            schedules=KubeSchedules(api, self._cache),
            find_whole=WholeObjects(api, self._cache).find,
            count=self._totals.count,
        )
        self._queue.begin_waits()
        for key in (*self._cache.known_keys(), *self._cache.keys_without_job()):
            self._queue.add(key)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._totals.keep(KubeTotals(api, settings.namespace)))
            for _ in range(settings.workers):
                group.create_task(worker.run())

    async def _relist_now_and_then(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.resync.total_seconds()):
                    await self._relisting.wait_for_end()
            try:
                namespaces = self._settings.watch_namespaces
                for key in await forget_vanished(self._api, self._cache, namespaces):
                    self._enqueue(key)
            except ApiError as error:
                say("not relisted", error=error)
            except Exception as error:  # noqa: BLE001 - the next relist does it
                metrics.count_task_error("relist")
                say_error("not relisted", error)

    async def _end_when_there_are_schedules(self) -> None:
        """Ends the process when the CRD of schedules appears, because kopf looks for kinds to watch
        only once.
        """
        is_there = False
        while not is_there:
            await asyncio.sleep(LOOK_FOR_SCHEDULES.total_seconds())
            with suppress(ApiError):
                namespaces = self._settings.watch_namespaces
                is_there = await is_defined(self._api, Kind.SCHEDULE, namespaces)
        say("schedules are defined now, restarting")
        self.has_failed.set()
        # Ends with the replica.
        await asyncio.Event().wait()

    async def _serve(self) -> Listener:
        checker = TokenChecker(self._api, time.monotonic)
        server = ProgressServer(self._cache, checker, self._writer)
        app = build_app(server, is_healthy=self.is_healthy, is_ready=self.is_ready)
        listener = Listener(app, self._settings.listen_address, self._settings.port)
        await listener.start()
        return listener

    async def _close_clients(self) -> None:
        await self._api.close()
        await self._lease_api.close()

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._note_end)
        self._tasks.append(task)
        return task

    def _note_end(self, task: asyncio.Task[None]) -> None:
        """No part may end before the replica does: if one does, the process ends and logs why."""
        if self._is_stopping:
            return
        if task.cancelled():
            reason: BaseException = RuntimeError("it was cancelled")
        else:
            reason = task.exception() or RuntimeError("it returned")
        metrics.count_task_error(task.get_name())
        say_error("replica failed", reason, task=task.get_name())
        self.has_failed.set()


def _now() -> datetime:
    return datetime.now(UTC)
