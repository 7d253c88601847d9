# SPDX-License-Identifier: Apache-2.0
"""Writes reports into the status: for each job the newest one, at limited intervals.

Uses a field manager of its own, on the replica that received the report. It always writes against
the version of the job that the report was judged by, so a late report cannot overwrite an attempt's
final figures.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from finetune_contract.progress import Progress
from finetune_operator.job.status.progress import (
    brings_answers,
    is_news,
    reaches_end,
    render_progress,
    report_patch,
    with_known_steps,
)
from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.objects.names import FINETUNE_JOBS, PROGRESS_FIELD_MANAGER, JobKey
from finetune_operator.objects.raw import Body
from finetune_operator.objects.times import parse_time
from finetune_operator.telemetry import metrics
from finetune_operator.telemetry.logs import say, say_error
from finetune_operator.work_queue import WorkQueue

_REFUSED = (400, 413, 422)
"""Codes of an invalid write: no later try of the same report can succeed."""

WRITES_AT_ONCE = 4
"""One write that the API server is slow to answer does not delay the other jobs' reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A trainer's report, and when it was received."""

    attempt: int
    progress: Progress
    heard: datetime
    is_urgent: bool = False


class ProgressWriter:
    """One for each replica."""

    def __init__(
        self, api: KubeApi, cache: ObjectCache, interval: timedelta, now: Callable[[], datetime]
    ) -> None:
        self._api = api
        self._cache = cache
        self._interval = interval
        self._now = now
        self._queue: WorkQueue[JobKey] = WorkQueue()
        self._pending: dict[JobKey, Report] = {}
        self._written_at: dict[JobKey, float] = {}
        """In the event loop's time, oldest first, while still relevant."""

    def report(self, key: JobKey, attempt: int, progress: Progress) -> None:
        """Queues a report, unless a newer one replaces it before it is written."""
        heard, pending = self._now(), self._pending.get(key)
        status = (self._cache.find_job(key) or {}).get("status", {})
        if pending is not None:
            as_written = _as_written(pending)
            progress = with_known_steps(as_written, attempt, progress)
            if not is_news(as_written, attempt, progress, heard):
                return
        # The pod, and with it the job, may end in a moment: the report of the last step is not
        # delayed.
        is_urgent = reaches_end(status, attempt, progress) or brings_answers(status, progress)
        self._pending[key] = Report(
            attempt=attempt, progress=progress, heard=heard, is_urgent=is_urgent
        )
        wait = max(self._not_before(key), self._behind_others(status, heard))
        self._queue.add_after(key, timedelta() if is_urgent else wait)

    async def run(self) -> None:
        """Writes until cancelled."""
        async with asyncio.TaskGroup() as writers:
            for _ in range(WRITES_AT_ONCE):
                writers.create_task(self._write_reports())

    async def _write_reports(self) -> None:
        while True:
            async with self._queue.take() as key:
                pending, delay = self._pending.get(key), self._not_before(key)
                if delay > timedelta() and pending is not None and not pending.is_urgent:
                    self._queue.add_after(key, delay)
                else:
                    await self._write(key)

    async def flush(self) -> None:
        """Writes the remaining reports immediately, because this replica ends."""
        await asyncio.gather(*(self._write(key) for key in tuple(self._pending)))

    async def _write(self, key: JobKey) -> None:
        """Never raises: one job's report must not stop those of the others."""
        report, job = self._pending.pop(key, None), self._cache.find_job(key)
        if job is None or report is None:
            return
        try:
            await self._write_report(key, report, job)
        except ApiError as error:
            if error.status in _REFUSED:
                say("progress refused", job=key, error=error)
                self._queue.forget_failures(key)
            elif error.status != 404:
                # 409: the job has changed meanwhile; the new version arrives soon.
                if error.status != 409:
                    say("progress not written", job=key, error=error)
                self._put_back(key, report)
        except Exception as error:  # noqa: BLE001 - a status may be edited by hand
            metrics.count_skipped(FINETUNE_JOBS.plural, "progress")
            say_error("progress not written", error, job=key)
            self._put_back(key, report)

    async def _write_report(self, key: JobKey, report: Report, job: Body) -> None:
        status = job.get("status", {})
        progress = with_known_steps(status, report.attempt, report.progress)
        if not is_news(status, report.attempt, progress, report.heard):
            return
        patch = report_patch(status, report.attempt, progress, report.heard)
        # Before the write is done: reports that arrive meanwhile have to wait.
        self._note_write(key)
        written = await self._api.patch_status(
            FINETUNE_JOBS, job, patch, field_manager=PROGRESS_FIELD_MANAGER
        )
        self._cache.remember(Kind.JOB, written)
        self._queue.forget_failures(key)

    def _not_before(self, key: JobKey) -> timedelta:
        """How long this job's next write has to wait."""
        written_at = self._written_at.get(key)
        if written_at is None:
            return timedelta()
        passed = timedelta(seconds=asyncio.get_running_loop().time() - written_at)
        return max(timedelta(), self._interval - passed)

    def _behind_others(self, status: Mapping[str, Any], heard: datetime) -> timedelta:
        """How long it has to wait after a write of another replica; clocks may differ."""
        updated = status.get("progress", {}).get("updated")
        if updated is None:
            return timedelta()
        due = parse_time(updated) + self._interval - heard
        return min(max(timedelta(), due), self._interval)

    def _note_write(self, key: JobKey) -> None:
        now = asyncio.get_running_loop().time()
        self._written_at.pop(key, None)
        self._written_at[key] = now
        for old, written_at in list(self._written_at.items()):
            if written_at + self._interval.total_seconds() > now:
                break
            del self._written_at[old]

    def _put_back(self, key: JobKey, report: Report) -> None:
        self._pending.setdefault(key, report)
        # It was not written.
        self._written_at.pop(key, None)
        self._queue.retry(key)


def _as_written(report: Report) -> Mapping[str, Any]:
    """The status after the write: later reports are judged by it."""
    told = render_progress(report.progress, report.attempt, report.heard)
    known = {name: value for name, value in told.items() if value is not None}
    return {"attempts": [{"number": report.attempt}], "progress": known}
