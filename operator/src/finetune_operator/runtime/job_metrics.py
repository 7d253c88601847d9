# SPDX-License-Identifier: Apache-2.0
"""measure_jobs: the Prometheus metrics of a cluster's jobs. No I/O here.

There is one series per running job, up to a limit; everything else is summed up. Tenants influence
labels only through the names of their jobs, and no namespace's jobs displace another's.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from finetune_operator.objects import conditions
from finetune_operator.objects.internal_error import has_internal_error
from finetune_operator.objects.names import FINETUNE_JOBS, Phase
from finetune_operator.objects.raw import Body
from finetune_operator.objects.times import parse_time
from finetune_operator.runtime.fair_turns import in_turn
from finetune_operator.runtime.metric_labels import NOTE_REASONS, PHASES, REASONS, SEVERITIES, label
from finetune_operator.telemetry import metrics
from finetune_operator.telemetry.metrics import Sample

MAX_JOBS = 1000
"""The number of jobs with series of their own: the newest of each namespace, in turn."""

MAX_BYTES = 768 * 1024
"""Limit for all series of single jobs: names may be long, and every replica is scraped every few
seconds.
"""

_BESIDE_NAMES = 64
"""Bytes of a line for its labels' names and its value."""

FIGURES = {
    "step": "finetune_job_step",
    "totalSteps": "finetune_job_total_steps",
    "loss": "finetune_job_loss",
    "tokensPerSecond": "finetune_job_tokens_per_second",
}
"""Fields of `status.progress`, and their gauges."""


def measure_jobs(jobs: Iterable[Body]) -> Iterator[Sample]:
    """All jobs by phase and reason, and the figures of unfinished ones."""
    bodies = list(jobs)
    yield from _sums(bodies)
    left = MAX_BYTES
    for body in in_turn(body for body in bodies if not _has_ended(body))[:MAX_JOBS]:
        try:
            figures = list(_figures(body))
        except (ValueError, TypeError, ArithmeticError):
            # A status may be edited by hand; an invalid one must not remove all other series.
            metrics.count_skipped(FINETUNE_JOBS.plural, "metrics")
            continue
        left -= sum(map(_size_of, figures))
        if left < 0:
            return
        yield from figures


def measure_internal_errors(kind: str, bodies: Iterable[Body]) -> Iterator[Sample]:
    """Jobs or schedules that the operator fails to handle."""
    failing = Counter(it["metadata"]["namespace"] for it in bodies if has_internal_error(it))
    for namespace, count in failing.items():
        yield Sample("finetune_internal_errors", count, (namespace, kind))


def _size_of(sample: Sample) -> int:
    """The approximate size of its line in bytes."""
    return len(sample.gauge) + sum(map(len, sample.labels)) + _BESIDE_NAMES


def _has_ended(body: Body) -> bool:
    """Reads only the conditions: every scrape reads every job, and a spec may be large."""
    found = body.get("status", {}).get("conditions", ())
    return conditions.is_true(found, "Complete") or conditions.is_true(found, "Failed")


def _sums(bodies: Iterable[Body]) -> Iterator[Sample]:
    phases: Counter[tuple[str, ...]] = Counter()
    failures: Counter[tuple[str, ...]] = Counter()
    notes: Counter[tuple[str, ...]] = Counter()
    for body in bodies:
        namespace, status = body["metadata"]["namespace"], body.get("status", {})
        phases[namespace, label(status.get("phase", Phase.PENDING), PHASES)] += 1
        if status.get("phase") == Phase.FAILED:
            reason = status.get("failure", {}).get("reason", "")
            failures[namespace, label(reason, REASONS)] += 1
        for note in status.get("notes", ()):
            severity = label(note.get("severity"), SEVERITIES)
            notes[namespace, severity, label(note.get("reason"), NOTE_REASONS)] += 1
    for labels, count in phases.items():
        yield Sample("finetune_jobs", count, labels)
    for labels, count in failures.items():
        yield Sample("finetune_jobs_failed", count, labels)
    for labels, count in notes.items():
        yield Sample("finetune_job_notes", count, labels)


def _figures(body: Body) -> Iterator[Sample]:
    metadata, status = body["metadata"], body.get("status", {})
    labels = (metadata["namespace"], metadata["name"])
    progress = status.get("progress", {})
    for name, gauge in (("gpus", "finetune_job_gpus"), ("attempt", "finetune_job_attempt")):
        if status.get(name) is not None:
            yield Sample(gauge, status[name], labels)
    for name, gauge in FIGURES.items():
        if progress.get(name) is not None:
            yield Sample(gauge, progress[name], labels)
    if progress.get("updated") is not None:
        heard = parse_time(progress["updated"]).timestamp()
        yield Sample("finetune_job_progress_timestamp_seconds", heard, labels)
