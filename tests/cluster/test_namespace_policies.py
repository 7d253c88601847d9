# SPDX-License-Identifier: Apache-2.0
"""A job can satisfy a namespace's requirements for pods: real quotas and LimitRanges."""

from typing import Any

import pytest

from cluster.replicas import Stage, finish, message_of, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

LIMITED = {"cpu": "1", "memory": "1Gi", "ephemeralStorage": "1Gi"}


def make(stage: Stage, kind: str, spec: dict[str, Any]) -> str:
    """Creates the policy and waits until it is enforced; returns the path that deletes it."""
    path = f"/api/v1/namespaces/{stage.namespace}/{kind}"
    stage.ask("POST", path, {"metadata": {"name": "team"}, "spec": spec})
    if kind == "resourcequotas":
        wait_until(lambda: "hard" in stage.ask("GET", f"{path}/team")["status"], "the quota holds")
    return f"{path}/team"


def test_a_quota_on_cpu_limits_names_the_field_and_a_job_that_sets_it_runs(stage: Stage) -> None:
    hard = dict.fromkeys(("requests.cpu", "limits.cpu"), "8")
    hard |= dict.fromkeys(("requests.memory", "limits.memory"), "16Gi")
    hard |= dict.fromkeys(("requests.ephemeral-storage", "limits.ephemeral-storage"), "16Gi")
    path = make(stage, "resourcequotas", {"hard": hard})
    resources = {"gpusPerNode": 0, **LIMITED}
    name = stage.apply("without-a-limit", resources=resources)

    wait_until(lambda: "must specify limits.cpu" in message_of(stage, name), "it is told")
    assert "(set spec.resources.limits.cpu in the job)" in message_of(stage, name)

    finish(stage, stage.apply("limited", resources={**resources, "limits": {"cpu": "2"}}))
    stage.ask("DELETE", path)


def test_a_limit_range_below_the_request_is_satisfied_by_a_limit(stage: Stage) -> None:
    path = make(
        stage,
        "limitranges",
        {"limits": [{"type": "Container", "default": {"cpu": "1"}, "max": {"cpu": "4"}}]},
    )
    name = stage.apply("above-the-default", resources={"gpusPerNode": 0, "cpu": "2"})

    wait_until(lambda: "spec.resources.limits.cpu" in message_of(stage, name), "it is told")

    resources = {"gpusPerNode": 0, "cpu": "2", "limits": {"cpu": "4"}}
    finish(stage, stage.apply("with-a-limit", resources=resources))
    stage.ask("DELETE", path)


def test_a_limit_to_request_ratio_can_be_satisfied(stage: Stage) -> None:
    limits = [{"type": "Container", "maxLimitRequestRatio": {"cpu": "2", "memory": "2"}}]
    path = make(stage, "limitranges", {"limits": limits})
    wide = {"gpusPerNode": 0, "cpu": "1", "memory": "1Gi", "limits": {"cpu": "3"}}
    name = stage.apply("too-wide", resources=wide)

    wait_until(lambda: "max limit to request ratio" in message_of(stage, name), "it is told")
    assert "spec.resources.limits.cpu" in message_of(stage, name)

    narrow = {**wide, "limits": {"cpu": "2", "memory": "2Gi"}}
    finish(stage, stage.apply("narrow", resources=narrow))
    stage.ask("DELETE", path)


def test_a_quota_on_pods_with_a_deadline_counts_a_job_with_one(stage: Stage) -> None:
    path = make(stage, "resourcequotas", {"hard": {"pods": "0"}, "scopes": ["NotTerminating"]})
    name = stage.apply("endless")

    wait_until(lambda: "exceeded quota: team" in message_of(stage, name), "it is told")

    finish(stage, stage.apply("with-a-deadline", activeDeadlineSeconds=3600))
    stage.ask("DELETE", path)
