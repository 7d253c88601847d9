# SPDX-License-Identifier: Apache-2.0
"""Only the pods of an attempt reach its nodes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from finetune_operator.job.manifests import build_attempt
from support.factories import CONFIG, SETTINGS, a_job

NODES = {"resources": {"nodes": 2, "gpusPerNode": 1}}
LONG = "a" * 80


def made(name: str = "balloon", attempt: int = 1, **spec: Any) -> dict[str, dict[str, Any]]:
    job = a_job(name, **{**NODES, **spec})
    return {it["kind"]: it for it in build_attempt(job, attempt, SETTINGS)}


def labels_of(children: Mapping[str, Any]) -> Mapping[str, str]:
    """The labels of the attempt's pods."""
    labels: Mapping[str, str] = children["Job"]["spec"]["template"]["metadata"]["labels"]
    return labels


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """As Kubernetes evaluates a LabelSelector of these manifests."""
    assert set(selector) == {"matchLabels"}
    return dict(selector["matchLabels"]).items() <= dict(labels).items()


def lets_in(policy: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether pods of the policy's namespace with these labels reach its selected pods."""
    (rule,) = policy["spec"]["ingress"]
    # With no namespaceSelector a peer is of the same namespace; with no ports it is all of them.
    assert set(rule) == {"from"}
    (peer,) = rule["from"]
    assert set(peer) == {"podSelector"}
    return selects(peer["podSelector"], labels)


@pytest.mark.parametrize("name", ["balloon", LONG], ids=["short name", "long name"])
def test_the_nodes_of_an_attempt_can_reach_each_other(name: str) -> None:
    children = made(name)
    policy = children["NetworkPolicy"]

    assert selects(policy["spec"]["podSelector"], labels_of(children))
    assert lets_in(policy, labels_of(children))


FORGED = {"metadata": {"labels": dict(labels_of(made()))}}
"""A podTemplate with the labels of another job's pods."""


@pytest.mark.parametrize(
    "others",
    [
        pytest.param({}, id="a pod without labels"),
        pytest.param({"app": "web"}, id="any other pod"),
        pytest.param({"finetune.dev/job": "balloon"}, id="a pod with some of the labels"),
        pytest.param(labels_of(made("kite")), id="another job"),
        pytest.param(labels_of(made("kite", podTemplate=FORGED)), id="one that forges them"),
        pytest.param(labels_of(made(LONG, podTemplate=FORGED)), id="one with a long name"),
        pytest.param(labels_of(made(attempt=2)), id="a later attempt"),
        pytest.param(
            labels_of(made(config={**CONFIG, "learning_rate": 1e-3})),
            id="an earlier run",
        ),
    ],
)
def test_no_other_pod_can_reach_them(others: Mapping[str, str]) -> None:
    assert not lets_in(made()["NetworkPolicy"], others)


def test_only_ingress_is_restricted() -> None:
    """Store, hub, DNS and progress are outgoing connections."""
    assert made()["NetworkPolicy"]["spec"]["policyTypes"] == ["Ingress"]


def test_the_policy_is_owned_by_the_job_and_named_like_the_service() -> None:
    children = made(attempt=3)
    policy, service = children["NetworkPolicy"]["metadata"], children["Service"]["metadata"]

    for field in ("namespace", "name", "labels", "ownerReferences"):
        assert policy[field] == service[field]
    assert policy["name"] == "balloon-3"


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_single_node_or_a_disabled_setting_gets_no_policy(nodes: int) -> None:
    settings = SETTINGS if nodes == 1 else replace(SETTINGS, has_network_policies=False)
    job = a_job(resources={"nodes": nodes, "gpusPerNode": 1})

    kinds = [it["kind"] for it in build_attempt(job, 1, settings)]

    assert "NetworkPolicy" not in kinds
    assert kinds[-1] == "Job"
