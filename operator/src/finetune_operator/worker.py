# SPDX-License-Identifier: Apache-2.0
"""A worker takes a key from the queue, reconciles its job, and says what happens next."""

from collections.abc import Callable
from datetime import datetime

from finetune_operator.cluster import Cluster
from finetune_operator.errors import Conflict, Gone
from finetune_operator.logs import say, say_error
from finetune_operator.memory import Memory
from finetune_operator.model_configs import FindModel, knows_no_model
from finetune_operator.naming import JobKey
from finetune_operator.reconcile import reconcile
from finetune_operator.settings import Settings
from finetune_operator.status import is_finished
from finetune_operator.work_queue import WorkQueue


class Worker:
    """Several of its `run` may go on at a time: the queue keeps them apart."""

    def __init__(
        self,
        queue: WorkQueue[JobKey],
        memory: Memory,
        cluster: Cluster,
        settings: Settings,
        now: Callable[[], datetime],
        find_model: FindModel = knows_no_model,
    ) -> None:
        self._queue = queue
        self._memory = memory
        self._cluster = cluster
        self._settings = settings
        self._now = now
        self._find_model = find_model

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            async with self._queue.take() as key:
                await self._work_on(key)

    async def _work_on(self, key: JobKey) -> None:
        """Every error becomes what is to happen next; none gets out."""
        body = self._memory.find_job(key)
        if body is None:
            self._queue.forget_failures(key)
            return
        try:
            done = await reconcile(
                body,
                cluster=self._cluster,
                settings=self._settings,
                now=self._now(),
                model=None if is_finished(body) else await self._find_model(body),
            )
        except Conflict:
            # The newer version is on its way; until then another try would find the same.
            self._queue.retry(key)
            return
        except Gone:
            self._queue.forget_failures(key)
            return
        except Exception as error:  # noqa: BLE001 - anything else is retried, counted and visible
            delay = self._queue.retry(key)
            say_error("not reconciled", error, job=key, retry_in=delay)
            return
        self._queue.forget_failures(key)
        if done is None:
            return
        if done.has_written:
            say("decided", job=key, phase=done.phase, reason=done.reason)
        if done.check_again_in is not None:
            self._queue.add_after(key, done.check_again_in)
