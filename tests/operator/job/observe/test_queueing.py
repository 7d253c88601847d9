# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest

from finetune_operator.job.observe.queueing import NO_WORDS, find_queue, find_queue_words
from finetune_operator.objects.names import JobReason
from support.factories import a_training_job

NO_QUOTA = (
    "couldn't assign flavors to pod set main: insufficient unused quota for nvidia.com/gpu in "
    "flavor default, 1 more needed"
)
PREEMPTED = "Preempted to accommodate a workload due to prioritization in the ClusterQueue"


def a_workload(*conditions: tuple[str, str, str], **rest: Any) -> dict[str, Any]:
    found = [{"type": type_, "status": status, "message": m} for type_, status, m in conditions]
    return {
        "metadata": {"name": "job-balloon-1-4f2ab"},
        "spec": rest.pop("spec", {"active": True}),
        "status": {"conditions": found, **rest},
    }


def checks(*states: tuple[str, str, str]) -> list[dict[str, str]]:
    return [{"name": name, "state": state, "message": message} for name, state, message in states]


@pytest.mark.parametrize(
    ("workload", "reason", "message"),
    [
        pytest.param(
            a_workload(("QuotaReserved", "False", NO_QUOTA)),
            JobReason.QUEUED,
            NO_QUOTA,
            id="no quota",
        ),
        pytest.param(
            a_workload(
                ("QuotaReserved", "False", NO_QUOTA),
                ("Evicted", "True", PREEMPTED),
                ("Preempted", "True", PREEMPTED),
            ),
            JobReason.PREEMPTED,
            f"evicted: {PREEMPTED}; {NO_QUOTA}",
            id="preempted, and waiting again",
        ),
        pytest.param(
            a_workload(
                ("QuotaReserved", "False", PREEMPTED),
                ("Evicted", "True", PREEMPTED),
                ("Preempted", "True", PREEMPTED),
            ),
            JobReason.PREEMPTED,
            f"evicted: {PREEMPTED}",
            id="just preempted",
        ),
        pytest.param(
            a_workload(
                ("Evicted", "False", "Previously: stopped"),
                ("QuotaReserved", "False", NO_QUOTA),
            ),
            JobReason.QUEUED,
            NO_QUOTA,
            id="evicted long ago",
        ),
        pytest.param(
            a_workload(
                ("QuotaReserved", "True", "Quota reserved"),
                ("Admitted", "False", "The workload has not all checks ready"),
                admissionChecks=checks(
                    ("budget", "Ready", ""), ("capacity", "Pending", "2 nodes are being added")
                ),
            ),
            JobReason.QUEUED,
            "its quota is reserved; admission checks are not ready: "
            "capacity (2 nodes are being added)",
            id="an admission check",
        ),
        pytest.param(
            a_workload(("QuotaReserved", "False", NO_QUOTA), spec={"active": False}),
            JobReason.QUEUED,
            "Workload job-balloon-1-4f2ab was deactivated: its spec.active is false",
            id="deactivated",
        ),
    ],
)
def test_a_workload_reports_why_it_waits(
    workload: dict[str, Any], reason: JobReason, message: str
) -> None:
    words = find_queue_words(workload)

    assert (words.reason, words.message, words.is_known) == (reason, message, True)


@pytest.mark.parametrize(
    "workload",
    [
        pytest.param(None, id="none"),
        pytest.param(a_workload(), id="one without a message"),
        pytest.param(a_workload(("QuotaReserved", "True", "")), id="one about to be admitted"),
    ],
)
def test_without_a_message_of_kueue_only_observed_facts_are_reported(
    workload: dict[str, Any] | None,
) -> None:
    assert find_queue_words(workload) == NO_WORDS


def test_the_queue_is_taken_from_the_training_jobs_label() -> None:
    training_job = a_training_job()
    training_job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "default"

    assert find_queue(training_job) == "default"
    assert find_queue(a_training_job()) == find_queue(None) == ""
