# SPDX-License-Identifier: Apache-2.0
import asyncio
from typing import Any

import pytest

from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.kube.client import ApiError
from finetune_operator.kube.jobs import KubeCluster
from finetune_operator.kube.workloads import KubeQueue
from finetune_operator.objects.names import WORKLOADS
from support.factories import NOW, a_job_body, a_training_job
from support.fake_api import FakeApi

WORKLOAD = {"metadata": {"namespace": "team", "name": "job-balloon-1"}, "spec": {}, "status": {}}
NOT_SERVED = ApiError(404, "", "404 page not found")


class Kueue(FakeApi):
    """Serves Workloads in some versions."""

    def __init__(self, *versions: str) -> None:
        super().__init__()
        for resource in WORKLOADS:
            if resource.api_version.endswith(versions):
                self.put(resource, WORKLOAD)
        self._versions = versions

    async def list_all(self, resource: Any, selector: str, namespace: str | None = None) -> Any:
        self._note(f"list {resource.api_version} {selector}")
        if not resource.api_version.endswith(self._versions):
            raise NOT_SERVED
        async for found in super().list_all(resource, selector, namespace):
            yield found


@pytest.mark.parametrize("version", ["v1beta1", "v1beta2"])
def test_the_workload_is_found_by_its_jobs_uid_in_the_served_version(version: str) -> None:
    api = Kueue(version)

    found = asyncio.run(KubeQueue(api).find_workload(a_training_job(suspended=True)))

    assert found is not None
    assert found["metadata"]["name"] == "job-balloon-1"
    assert "kueue.x-k8s.io/job-uid=uid-of-uid-of-job-1" in api.calls[0]


@pytest.mark.parametrize(
    ("refusal", "silent"),
    [
        pytest.param(NOT_SERVED, 300, id="no Kueue"),
        pytest.param(ApiError(403, "Forbidden", "no"), 300, id="no right"),
        pytest.param(ApiError(500, "", "conversion webhook failed"), 20, id="Kueue is broken"),
        pytest.param(ApiError(0, "Unreachable", ""), 20, id="no answer"),
    ],
)
def test_without_an_answer_nothing_is_delayed_and_requests_pause_for_a_while(
    refusal: ApiError, silent: int
) -> None:
    api = Kueue("v1beta1")
    api.fail_with = refusal
    time = [0.0]
    queue = KubeQueue(api, clock=lambda: time[0])
    training_job = a_training_job(suspended=True)

    assert asyncio.run(queue.find_workload(training_job)) is None
    asked = len(api.calls)
    time[0] = silent - 1
    assert asyncio.run(queue.find_workload(training_job)) is None
    assert len(api.calls) == asked

    api.fail_with, time[0] = None, silent
    assert asyncio.run(queue.find_workload(training_job)) is not None


@pytest.mark.parametrize(
    ("suspended", "ended", "owner", "is_asked"),
    [
        pytest.param(True, None, "uid-of-job", True, id="it waits"),
        pytest.param(False, None, "uid-of-job", False, id="it does not wait"),
        pytest.param(True, "Failed", "uid-of-job", False, id="it has ended"),
        pytest.param(True, None, "uid-of-earlier", False, id="it is an earlier job's"),
    ],
)
def test_kueue_is_queried_only_for_a_waiting_job(
    suspended: bool, ended: str | None, owner: str, is_asked: bool
) -> None:
    api, cache = Kueue("v1beta2"), ObjectCache()
    training_job = a_training_job(suspended=suspended, ended=ended, owner=owner)
    cache.remember(Kind.TRAINING_JOB, training_job)

    children = asyncio.run(KubeCluster(api, cache, lambda: NOW).children_of(a_job_body()))

    assert (children.workload is not None) is is_asked
    assert bool(api.calls) is is_asked
