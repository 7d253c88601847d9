# SPDX-License-Identifier: Apache-2.0
"""No tenant can make `/metrics` grow: a label's value is a known word, or `Other`."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from finetune_operator.kube.client import ApiError
from finetune_operator.objects.names import Phase
from finetune_operator.runtime.job_metrics import measure_internal_errors, measure_jobs
from finetune_operator.runtime.metric_labels import REASONS
from finetune_operator.telemetry import metrics
from finetune_operator.telemetry.metrics import COUNTERS, GAUGES, Gauges, Sample
from support.factories import a_job_body
from support.fake_cluster import FakeCluster
from support.operator_passes import failing_with, work_on

MANY = 5000
MOST_BYTES = 1024 * 1024
"""Limit for a response. 5000 reasons made it 2.8 MiB."""


def page_of(samples: Iterable[Sample]) -> str:
    """The output for Prometheus of these."""
    found = list(samples)
    registry = CollectorRegistry()
    registry.register(Gauges(lambda: found))
    return generate_latest(registry).decode()


def series_of(page: str, metric: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith((f"{metric}{{", f"{metric} "))]


def many_jobs(status: Mapping[str, Any], name: str = "job-{}") -> list[dict[str, Any]]:
    """Each with another number in its name and its status."""
    created = {"creationTimestamp": "2026-01-01T00:00:00Z"}
    return [
        a_job_body(name.format(number), status=_numbered(status, number), metadata=created)
        for number in range(MANY)
    ]


def _numbered(value: Any, number: int) -> Any:
    if isinstance(value, Mapping):
        return {key: _numbered(item, number) for key, item in value.items()}
    return value.format(number) if isinstance(value, str) else value


HOSTILE: dict[str, dict[str, Any]] = {
    "reasons of pods": {
        "phase": "Failed",
        "failure": {"reason": "Reason{}" + "x" * 500},
        "conditions": [{"type": "Failed", "status": "True"}],
    },
    "reasons of jobs that have not ended": {
        "phase": "Failed",
        "failure": {"reason": '\n# HELP x{} {{"\\'},
    },
    "phases": {"phase": "Phase{}" + "x" * 500},
    "reasons of conditions": {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "False", "reason": "Reason{}"}],
    },
    "notes": {
        "phase": "Succeeded",
        "notes": [{"severity": "Severity{}", "reason": "Reason{}", "message": "m"}],
    },
    "figures": {
        "phase": "Running",
        "gpus": 8,
        "attempt": 1,
        "progress": {
            "step": 1,
            "totalSteps": 2,
            "loss": 0.5,
            "tokensPerSecond": 1,
            "updated": "2026-01-01T00:00:00Z",
        },
    },
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("name", ["job-{}", "x" * 240 + "-{}"], ids=["short names", "long names"])
def test_thousands_of_invented_words_stay_within_a_megabyte(kind: str, name: str) -> None:
    jobs = many_jobs(HOSTILE[kind], name)

    page = page_of([*measure_jobs(jobs), *measure_internal_errors("FineTuneJob", jobs)])

    assert len(page) < MOST_BYTES
    assert len(series_of(page, "finetune_jobs")) <= len(Phase) + 1
    assert len(series_of(page, "finetune_jobs_failed")) <= 1
    assert sum(not line.startswith("#") for line in page.splitlines()) < 8000


def test_an_unknown_reason_is_still_counted() -> None:
    told = {
        (it.gauge, *it.labels): it.value
        for it in measure_jobs(many_jobs(HOSTILE["reasons of pods"]))
    }

    assert told["finetune_jobs_failed", "team", "Other"] == MANY
    assert told["finetune_jobs", "team", "Failed"] == MANY


@pytest.mark.parametrize("reason", ["OutOfMemory", "Evicted", "BackoffLimitExceeded", ""])
def test_a_known_reason_keeps_its_name(reason: str) -> None:
    job = a_job_body("one", status={"phase": "Failed", "failure": {"reason": reason}})
    job["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"

    (told,) = [it for it in measure_jobs([job]) if it.gauge == "finetune_jobs_failed"]

    assert told.labels == ("team", reason)


def test_a_tenant_with_thousands_of_jobs_does_not_hide_others() -> None:
    other = a_job_body("other", status={"gpus": 1, "phase": "Running"})
    other["metadata"] |= {"namespace": "other", "creationTimestamp": "2020-01-01T00:00:00Z"}

    page = page_of(measure_jobs([*many_jobs(HOSTILE["figures"], "x" * 240 + "-{}"), other]))

    assert 'finetune_job_gpus{finetunejob="other",namespace="other"} 1.0' in page


def reasons_counted() -> Counter[str]:
    (family,) = metrics._RECONCILES.collect()
    counted: Counter[str] = Counter()
    for sample in family.samples:
        if sample.name.endswith("_total"):
            counted[sample.labels["reason"]] += int(sample.value)
    return counted


def test_invented_reasons_share_one_series_of_reconciliations() -> None:
    before = reasons_counted()

    for number in range(20):
        work_on(FakeCluster(_ended_for(f"Reason{number}")))
        work_on(failing_with(ApiError(403, f"Reason{number}", "no")))

    assert reasons_counted() - before == Counter({"Other": 40})


def _ended_for(reason: str) -> dict[str, Any]:
    """A job that has failed with a reason set by its pod."""
    conditions = [
        {"type": it, "status": status, "reason": reason, "message": "so"}
        for it, status in (("Failed", "True"), ("Stalled", "True"), ("Ready", "False"))
    ]
    failure = {"reason": reason, "message": "so", "category": "User", "retryable": False}
    return a_job_body(
        status={"phase": "Failed", "conditions": conditions, "failure": failure, "runId": "1"}
    )


KNOWN_LABELS = {
    "namespace": "made by administrators",
    "finetunejob": "bounded by number and by bytes, in turn of namespaces",
    "finetuneschedule": "bounded by number, in turn of namespaces",
    "phase": "PHASES",
    "reason": "REASONS, API_REASONS, NOTE_REASONS, or the name of a class of ours",
    "severity": "SEVERITIES",
    "kind": "constants, `other`",
    "use": "constants",
    "name": "constants",
    "where": "constants",
    "task": "constants",
    "method": "constants",
    "resource": "constants",
    "result": "constants, RESULTS",
    "verdict": "constants",
    "code": "HTTP's codes",
}
"""Each label of each metric, and its bound: add a new label here with its bound."""


def test_every_label_has_a_bounded_set_of_values() -> None:
    counted = [it for it in vars(metrics).values() if hasattr(it, "_labelnames")]
    labels = {label for it in counted for label in it._labelnames}
    labels |= {label for _, names in (GAUGES | COUNTERS).values() for label in names}

    assert labels == set(KNOWN_LABELS)
    assert all(isinstance(reason, str) and len(reason) < 40 for reason in REASONS)
