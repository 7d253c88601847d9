# SPDX-License-Identifier: Apache-2.0
"""The permissions that the chart grants to users, on request."""

from chart.releases import WAYS, render


def test_namespace_editors_and_viewers_get_the_same_rights_on_jobs() -> None:
    release = render(*WAYS["rights for users"])
    roles = {it["metadata"]["name"]: it for it in release.of("ClusterRole")}
    edit, view = roles["finetune-operator-edit"], roles["finetune-operator-view"]
    aggregated = "rbac.authorization.k8s.io/aggregate-to-"

    assert {label for label in edit["metadata"]["labels"] if aggregated in label} == {
        f"{aggregated}admin",
        f"{aggregated}edit",
    }
    assert view["metadata"]["labels"][f"{aggregated}view"] == "true"
    assert view["rules"][0]["verbs"] == ["get", "list", "watch"]
    assert not {"get", "list", "watch"} & set(edit["rules"][0]["verbs"])
    assert not any(
        it["roleRef"]["name"].endswith(("-edit", "-view"))
        for it in release.of("ClusterRoleBinding")
    )
