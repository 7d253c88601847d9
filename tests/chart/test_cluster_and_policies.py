# SPDX-License-Identifier: Apache-2.0
"""The settings in the chart's releases that identify the cluster, and that isolate gangs."""

import pytest

from chart.releases import WAYS, render
from finetune_operator.settings import Settings


@pytest.mark.parametrize("way", ["as it comes", "some namespaces"])
def test_the_only_readable_namespace_is_the_one_that_identifies_the_cluster(way: str) -> None:
    rules = [rule for role in render(*WAYS[way]).of("ClusterRole") for rule in role["rules"]]

    assert [rule for rule in rules if "namespaces" in rule["resources"]] == [
        {
            "apiGroups": [""],
            "resources": ["namespaces"],
            "resourceNames": ["kube-system"],
            "verbs": ["get"],
        }
    ]


@pytest.mark.parametrize(
    "way", [("clusterId=prod-1",), WAYS["some namespaces, with no right on the cluster"]]
)
def test_no_namespace_is_readable_with_a_cluster_id_or_without_cluster_rights(
    way: tuple[str, ...],
) -> None:
    release = render(*way)
    rules = [rule for role in release.of("ClusterRole") for rule in role["rules"]]

    assert not [rule for rule in rules if "namespaces" in rule["resources"]]
    named = "clusterId=prod-1" in way
    assert Settings.from_env(release.environment).cluster_id == ("prod-1" if named else None)


@pytest.mark.parametrize(
    ("setting", "is_on"),
    [
        ((), True),
        (("trainer.networkPolicy=false",), False),
        (("trainer.networkPolicy=null",), True),
    ],
    ids=["as it comes", "off", "values of an older release"],
)
def test_the_right_to_network_policies_follows_their_setting(
    setting: tuple[str, ...], is_on: bool
) -> None:
    for watched in ((), ("watchNamespaces={team-a}",)):
        release = render(*setting, *watched)
        rules = [
            rule
            for kind in ("Role", "ClusterRole")
            for role in release.of(kind)
            for rule in role["rules"]
            if "networkpolicies" in rule["resources"]
        ]

        assert Settings.from_env(release.environment).has_network_policies is is_on
        assert [rule["verbs"] for rule in rules] == [["get", "create", "delete"]] * is_on
