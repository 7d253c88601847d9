# SPDX-License-Identifier: Apache-2.0
"""Whether the operator queries why a Job has too few pods: not while they merely end."""

from typing import Any

import pytest

from finetune_operator.job.observe.pods import lacks_pods

STARTED = {"startTime": "2026-05-04T12:00:00Z"}


def a_job(nodes: int = 1, *, metadata: dict[str, Any] | None = None, **status: Any) -> Any:
    return {"metadata": metadata or {}, "spec": {"parallelism": nodes}, "status": STARTED | status}


def when(type_: str) -> list[dict[str, str]]:
    return [{"type": type_, "status": "True"}]


@pytest.mark.parametrize(
    "job",
    [
        pytest.param(a_job(), id="no pod was created"),
        pytest.param(a_job(active=0, terminating=0), id="none at all"),
        pytest.param(a_job(nodes=3, active=2), id="one of three was not made"),
        pytest.param(a_job(nodes=3, active=1, terminating=1), id="one ends, one was not made"),
        pytest.param(a_job(failed=1), id="one failed, and no other was made"),
        pytest.param(a_job(uncountedTerminatedPods={}), id="none waits to be counted"),
        pytest.param(a_job(conditions=when("Suspended")), id="another condition"),
    ],
)
def test_a_job_without_its_expected_pods_lacks_pods(job: Any) -> None:
    assert lacks_pods(job)


@pytest.mark.parametrize(
    "job",
    [
        pytest.param(a_job(active=1), id="it runs"),
        pytest.param(a_job(terminating=1), id="its pod is terminating"),
        pytest.param(a_job(nodes=2, active=1, terminating=1), id="one of its two pods is"),
        pytest.param(a_job(succeeded=1), id="it is done"),
        pytest.param(a_job(uncountedTerminatedPods={"succeeded": ["a"]}), id="done a moment ago"),
        pytest.param(a_job(uncountedTerminatedPods={"failed": ["a"]}), id="failed a moment ago"),
        pytest.param(a_job(failed=1, conditions=when("FailureTarget")), id="it is about to fail"),
        pytest.param(a_job(conditions=when("SuccessCriteriaMet")), id="it is about to succeed"),
        pytest.param(a_job(metadata={"deletionTimestamp": "x"}), id="it is deleted"),
        pytest.param({**a_job(), "status": {}}, id="it was not admitted"),
    ],
)
def test_a_job_whose_pods_are_terminating_lacks_none(job: Any) -> None:
    assert not lacks_pods(job)
