# SPDX-License-Identifier: Apache-2.0
"""Writes reports into the status: for each job the newest one, and not too often.

Under a field manager of its own, by whichever replica was told; always against the version of the
job that it was judged by, so that a late report can't overwrite an attempt's final figures.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from finetune_contract.progress import Progress
from finetune_operator.figures import is_news, render_memory, render_progress
from finetune_operator.kube_api import ApiError, KubeApi
from finetune_operator.logs import say, say_error
from finetune_operator.memory import Kind, Memory
from finetune_operator.naming import FINETUNE_JOBS, PROGRESS_FIELD_MANAGER, JobKey
from finetune_operator.work_queue import WorkQueue


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a trainer said, and when it was heard."""

    attempt: int
    progress: Progress
    heard: datetime


class ProgressWriter:
    """One for each replica."""

    def __init__(
        self, api: KubeApi, memory: Memory, interval: timedelta, now: Callable[[], datetime]
    ) -> None:
        self._api = api
        self._memory = memory
        self._interval = interval
        self._now = now
        self._queue: WorkQueue[JobKey] = WorkQueue()
        self._pending: dict[JobKey, Report] = {}
        self._written_at: dict[JobKey, datetime] = {}

    def report(self, key: JobKey, attempt: int, progress: Progress) -> None:
        """To be written when its turn comes, unless a newer report is there by then."""
        self._pending[key] = Report(attempt=attempt, progress=progress, heard=self._now())
        self._queue.add_after(key, self._not_before(key))

    async def run(self) -> None:
        """Writes until cancelled."""
        while True:
            async with self._queue.take() as key:
                if (delay := self._not_before(key)) > timedelta():
                    self._queue.add_after(key, delay)
                else:
                    await self._write(key)

    async def flush(self) -> None:
        """Writes at once what is still to be written: this replica ends."""
        await asyncio.gather(*(self._write(key) for key in tuple(self._pending)))

    async def _write(self, key: JobKey) -> None:
        report, job = self._pending.pop(key, None), self._memory.find_job(key)
        if job is None:
            self._written_at.pop(key, None)
            return
        if report is None or not is_news(
            job.get("status", {}), report.attempt, report.progress.step
        ):
            return
        told = report.progress
        patch = {"progress": render_progress(told, report.attempt, report.heard)}
        if memory := render_memory(told.estimated_memory_bytes, told.peak_memory_bytes):
            patch["memory"] = memory
        # Before it is done: what is reported meanwhile has to wait.
        self._written_at[key] = self._now()
        try:
            written = await self._api.patch_status(
                FINETUNE_JOBS, job, patch, field_manager=PROGRESS_FIELD_MANAGER
            )
        except ApiError as error:
            if error.status != 404:
                # 409: the job has changed meanwhile; what it is now will be known in a moment.
                if error.status != 409:
                    say("progress not written", job=key, error=error)
                self._put_back(key, report)
        except Exception as error:  # noqa: BLE001 - one job's trouble must not stop the others'
            say_error("progress not written", error, job=key)
            self._put_back(key, report)
        else:
            self._memory.remember(Kind.JOB, written)
            self._queue.forget_failures(key)

    def _not_before(self, key: JobKey) -> timedelta:
        """How long this job's next write has to wait."""
        written_at = self._written_at.get(key)
        if written_at is None:
            return timedelta()
        return max(timedelta(), written_at + self._interval - self._now())

    def _put_back(self, key: JobKey, report: Report) -> None:
        self._pending.setdefault(key, report)
        # It was not written after all.
        self._written_at.pop(key, None)
        self._queue.retry(key)
