# SPDX-License-Identifier: Apache-2.0
"""Counters that survive the jobs they count, and a change of leader.

Only the leader counts and reports them. It stores them in one object, and a new leader adds to the
stored values. The counts of the last seconds are lost if the process is killed.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Protocol

from finetune_operator.objects.errors import Conflict, NotLeading
from finetune_operator.objects.names import Phase
from finetune_operator.objects.tally import Series, Tally
from finetune_operator.runtime.metric_labels import OTHER, REASONS, RESULTS, label
from finetune_operator.telemetry import metrics
from finetune_operator.telemetry.logs import say
from finetune_operator.telemetry.metrics import GPU_SECONDS, JOBS_FINISHED, Sample

PERIOD_SECONDS = 10.0
LAST_WRITE_SECONDS = 1.0

MAX_SERIES = 4000
"""Namespaces come and go: those beyond are counted together."""


class TotalsStore(Protocol):
    """The storage of the counters."""

    async def read(self) -> Mapping[Series, float]:
        """The last written values; empty if there are none."""

    async def write(self, totals: Mapping[Series, float]) -> None:
        """
        Raises:
            Conflict: another write came after the read.
        """


class Totals:
    def __init__(self) -> None:
        self._kept: dict[Series, float] | None = None
        """The stored values; None before they were read."""
        self._new: dict[Series, float] = {}
        """Counts that are not stored yet."""

    def count(self, namespace: str, tally: Tally) -> None:
        added: dict[Series, float] = {
            (GPU_SECONDS, (namespace, "used")): tally.used_seconds,
            (GPU_SECONDS, (namespace, "wasted")): tally.wasted_seconds,
        }
        if tally.result:
            labels = (namespace, label(tally.result, RESULTS), label(tally.reason, REASONS))
            added[JOBS_FINISHED, labels] = 1
        for series, value in added.items():
            if value:
                counted = self._bounded(series)
                self._new[counted] = self._new.get(counted, 0) + value

    def measure(self, namespaces: Iterable[str]) -> Iterator[Sample]:
        """Empty before the store was read: a counter that began lower would seem to grow.

        Namespaces that have jobs begin at zero, or the first hour would be no increase.
        """
        if self._kept is None:
            return
        zeros = {series: 0.0 for namespace in namespaces for series in _begun(namespace)}
        for (name, labels), value in _sums(zeros, _sums(self._kept, self._new)).items():
            yield Sample(name, value, labels)

    async def keep(self, store: TotalsStore) -> None:
        """Runs until cancelled, as long as this replica leads."""
        self._kept = None
        try:
            while True:
                await self._try_to_save(store)
                await asyncio.sleep(PERIOD_SECONDS)
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WRITE_SECONDS):
                    await self._try_to_save(store)

    async def _try_to_save(self, store: TotalsStore) -> None:
        """A failure must not cost the leadership: it is retried."""
        try:
            await self._save(store)
        except Conflict:
            self._kept = None
        except NotLeading:
            return
        except Exception as error:  # noqa: BLE001 - the next period does it
            metrics.count_task_error("totals")
            say("counters not kept", error=error)

    async def _save(self, store: TotalsStore) -> None:
        if self._kept is None:
            self._kept = dict(await store.read())
        if not self._new:
            return
        saved, sums = dict(self._new), _sums(self._kept, self._new)
        await store.write(sums)
        self._kept = sums
        # Counts added meanwhile stay.
        left = {series: value - saved.get(series, 0) for series, value in self._new.items()}
        self._new = {series: value for series, value in left.items() if value > 0}

    def _bounded(self, series: Series) -> Series:
        kept = self._kept or {}
        if series in kept or series in self._new or len(kept) + len(self._new) < MAX_SERIES:
            return series
        name, labels = series
        return name, (OTHER, *labels[1:])


def _begun(namespace: str) -> tuple[Series, ...]:
    gpus = tuple((GPU_SECONDS, (namespace, use)) for use in ("used", "wasted"))
    return (*gpus, (JOBS_FINISHED, (namespace, Phase.SUCCEEDED.value, "")))


def _sums(kept: Mapping[Series, float], new: Mapping[Series, float]) -> dict[Series, float]:
    return {series: kept.get(series, 0) + new.get(series, 0) for series in {**kept, **new}}
