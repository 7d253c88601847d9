# SPDX-License-Identifier: Apache-2.0
"""The Prometheus metrics: counters of this replica's work, and gauges of its cache."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from prometheus_client import REGISTRY, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

_REQUESTS = Counter(
    "finetune_operator_api_requests",
    "Requests to the API server, except watches, by response code; <error> is no response.",
    ["method", "resource", "code"],
)
_WATCH_ERRORS = Counter(
    "finetune_operator_watch_errors",
    "Watches that the API server rejected, or that failed while they were opened.",
)
_SKIPPED = Counter(
    "finetune_operator_skipped_objects",
    "Objects that could not be processed and were skipped, by kind and by place (watch, list, "
    "metrics, progress). The log lists each.",
    ["kind", "where"],
)
_TASK_ERRORS = Counter(
    "finetune_operator_task_errors",
    "Unexpected errors of the replica's own tasks, whether they continued or ended the process.",
    ["task"],
)
_RECONCILES = Counter(
    "finetune_operator_reconciles",
    "Reconciliations by result (written, unchanged, postponed, failed) and reason.",
    ["kind", "result", "reason"],
)
_RECONCILE_SECONDS = Histogram(
    "finetune_operator_reconcile_duration_seconds",
    "Duration of reconciliations.",
    ["kind"],
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
_REVIEWS = Counter(
    "finetune_operator_webhook_reviews",
    "Objects in admission reviews, by verdict: allowed, warned, refused, unchecked.",
    ["kind", "verdict"],
)
_REPORTS = Counter(
    "finetune_operator_progress_reports",
    "Progress reports of trainers, by response code.",
    ["code"],
)

WORK_QUEUE = "finetune"
"""The value of `name` on metrics of the work queue, which have the names of client-go's."""

_QUEUE_SECONDS = (0.001, 0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1800)
_QUEUE_ADDS = Counter("workqueue_adds", "Jobs and schedules added to the work queue.", ["name"])
_QUEUE_RETRIES = Counter(
    "workqueue_retries", "Jobs and schedules added again after a failure.", ["name"]
)
_QUEUE_WAITS = Histogram(
    "workqueue_queue_duration_seconds",
    "Time that a job or schedule waited for a worker.",
    ["name"],
    buckets=_QUEUE_SECONDS,
)
_QUEUE_WORK = Histogram(
    "workqueue_work_duration_seconds",
    "Time that a worker spent on a job or schedule.",
    ["name"],
    buckets=_QUEUE_SECONDS,
)

_PER_JOB = ("namespace", "finetunejob")
_PER_SCHEDULE = ("namespace", "finetuneschedule")

GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "finetune_operator_leader": ("Whether this replica is the leader.", ()),
    "finetune_internal_errors": (
        "Jobs and schedules that the operator fails to handle: reason InternalError.",
        ("namespace", "kind"),
    ),
    "workqueue_depth": ("Jobs and schedules that are waiting for a worker.", ("name",)),
    "workqueue_unfinished_work_seconds": (
        "Time that all workers together have spent on unfinished work.",
        ("name",),
    ),
    "workqueue_longest_running_processor_seconds": (
        "Time that the slowest worker has spent on unfinished work.",
        ("name",),
    ),
    "finetune_jobs": ("FineTuneJobs by phase.", ("namespace", "phase")),
    "finetune_jobs_failed": ("Failed FineTuneJobs by reason.", ("namespace", "reason")),
    "finetune_job_notes": (
        "Notes in the status of FineTuneJobs, such as skipped rows, by severity and reason.",
        ("namespace", "severity", "reason"),
    ),
    "finetune_job_gpus": ("GPUs of a job that has not ended.", _PER_JOB),
    "finetune_job_attempt": ("Its attempt.", _PER_JOB),
    "finetune_job_step": ("Its current optimizer step.", _PER_JOB),
    "finetune_job_total_steps": ("Its total number of steps.", _PER_JOB),
    "finetune_job_loss": ("Its training loss.", _PER_JOB),
    "finetune_job_tokens_per_second": ("Its training throughput in tokens per second.", _PER_JOB),
    "finetune_job_progress_timestamp_seconds": ("When it last reported.", _PER_JOB),
    "finetune_schedule_active_jobs": ("Jobs of a schedule that have not ended.", _PER_SCHEDULE),
    "finetune_schedule_last_schedule_timestamp_seconds": (
        "The latest scheduled time for which it started a job; 0 before the first.",
        _PER_SCHEDULE,
    ),
    "finetune_schedule_last_success_timestamp_seconds": (
        "When one of its jobs last succeeded; 0 before the first.",
        _PER_SCHEDULE,
    ),
    "finetune_schedule_last_missed_timestamp_seconds": (
        "The latest scheduled time that passed without a job; 0 if there is none.",
        _PER_SCHEDULE,
    ),
}
"""Each gauge with its help and labels."""

GPU_SECONDS = "finetune_gpu_seconds_total"
JOBS_FINISHED = "finetune_jobs_finished_total"

COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    GPU_SECONDS: (
        "GPU time of ended attempts: used, and the wasted part of it. Includes deleted jobs.",
        ("namespace", "use"),
    ),
    JOBS_FINISHED: (
        "Jobs that have ended, by result (Deleted: before they ended) and failure reason.",
        ("namespace", "result", "reason"),
    ),
}
"""The same for counters that the leader keeps in the cluster."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a gauge or counter, with its labels in the declared order."""

    gauge: str
    value: float
    labels: tuple[str, ...] = ()


def count_request(method: str, resource: str, code: int | None) -> None:
    _REQUESTS.labels(method=method, resource=resource, code=code or "<error>").inc()


def count_skipped(kind: str, where: str) -> None:
    _SKIPPED.labels(kind=kind, where=where).inc()


def count_task_error(task: str) -> None:
    _TASK_ERRORS.labels(task=task).inc()


def note_reconcile(kind: str, result: str, reason: str, seconds: float) -> None:
    _RECONCILES.labels(kind=kind, result=result, reason=reason).inc()
    _RECONCILE_SECONDS.labels(kind=kind).observe(seconds)


def count_review(kind: str, verdict: str) -> None:
    _REVIEWS.labels(kind=kind, verdict=verdict).inc()


def count_report(code: int) -> None:
    _REPORTS.labels(code=code).inc()


class QueueMetrics:
    """The metrics of the work queue."""

    def note_add(self) -> None:
        _QUEUE_ADDS.labels(name=WORK_QUEUE).inc()

    def note_retry(self) -> None:
        _QUEUE_RETRIES.labels(name=WORK_QUEUE).inc()

    def note_taken(self, waited: float) -> None:
        _QUEUE_WAITS.labels(name=WORK_QUEUE).observe(waited)

    def note_done(self, worked: float) -> None:
        _QUEUE_WORK.labels(name=WORK_QUEUE).observe(worked)


Exposed = GaugeMetricFamily | CounterMetricFamily


def _families() -> dict[str, Exposed]:
    families: dict[str, Exposed] = {}
    for name, (text, labels) in GAUGES.items():
        families[name] = GaugeMetricFamily(name, text, labels=labels)
    for name, (text, labels) in COUNTERS.items():
        families[name] = CounterMetricFamily(name, text, labels=labels)
    return families


class Gauges(Collector):
    """Gauges that are measured on each scrape, from `expose` until `withdraw`."""

    def __init__(self, measure: Callable[[], Iterable[Sample]]) -> None:
        self._measure = measure

    def expose(self) -> None:
        REGISTRY.register(self)

    def withdraw(self) -> None:
        """Does nothing if they are not exposed."""
        with suppress(KeyError):
            REGISTRY.unregister(self)

    def describe(self) -> Iterator[Exposed]:
        """Their names, for which nothing is measured."""
        yield from _families().values()

    def collect(self) -> Iterator[Exposed]:
        families = _families()
        for sample in self._measure():
            families[sample.gauge].add_metric(sample.labels, sample.value)
        yield from families.values()


class WatchErrors(logging.Handler):
    """Counts kopf's log messages about its watches, because it offers no other interface."""

    LOGGER = "kopf._cogs.clients.watching"

    def emit(self, record: logging.LogRecord) -> None:
        _WATCH_ERRORS.inc()
