# SPDX-License-Identifier: Apache-2.0
"""A cluster is identified by the uid of its namespace kube-system, if that may be read."""

import asyncio
from dataclasses import replace

import pytest

from finetune_operator.kube.client import ApiError
from finetune_operator.kube.cluster_identity import find_cluster_id
from finetune_operator.objects.names import NAMESPACES
from finetune_operator.runtime.replica import Replica
from finetune_operator.telemetry.logs import OneLine
from support.factories import SETTINGS
from support.fake_api import FakeApi


def an_api() -> FakeApi:
    api = FakeApi()
    for name in ("default", "kube-system"):
        namespace = {"metadata": {"name": name, "uid": f"uid-of-{name}"}}
        api.put(NAMESPACES, namespace)
    return api


def test_a_cluster_is_identified_by_its_system_namespace() -> None:
    assert asyncio.run(find_cluster_id(an_api())) == "uid-of-kube-system"


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(ApiError(403, "Forbidden", "namespaces is forbidden"), id="no right"),
        pytest.param(ApiError(404, "NotFound", "not found"), id="no such namespace"),
    ],
)
def test_without_an_answer_the_cluster_is_unknown_and_the_log_explains_the_fix(
    refusal: ApiError, caplog: pytest.LogCaptureFixture
) -> None:
    api = an_api()
    api.fail_with = refusal

    assert asyncio.run(find_cluster_id(api)) is None

    (line,) = [OneLine().format(record) for record in caplog.records]
    assert refusal.message in line
    assert "set clusterId, or let the operator read the namespace kube-system" in line


@pytest.mark.parametrize("status", [0, 401, 429, 500, 503])
def test_an_outage_does_not_count_as_an_answer(status: int) -> None:
    """The replica retries its warm-up until it has an answer: jobs keep their locations."""
    api = an_api()
    api.fail_with = ApiError(status, "", "later")

    with pytest.raises(ApiError, match="later"):
        asyncio.run(find_cluster_id(api))


@pytest.mark.parametrize(
    ("given", "known", "calls"),
    [(None, "uid-of-kube-system", ["get namespaces"]), ("prod-1", "prod-1", [])],
    ids=["asked for once", "given by the platform team"],
)
def test_a_replica_runs_jobs_with_the_id_of_its_cluster(
    given: str | None, known: str, calls: list[str]
) -> None:
    replica, api = Replica(replace(SETTINGS, cluster_id=given)), an_api()
    replica._api = api

    for _ in range(2):
        asyncio.run(replica._identify_cluster())

    assert replica._settings.cluster_id == known
    assert api.calls == calls
