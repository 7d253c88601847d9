# SPDX-License-Identifier: Apache-2.0
"""The chart's admission policy: where it is created, which accounts it restricts, and that it
covers every permission.

Its effect in the real API server: `tests/cluster/test_admission_policy.py`.
"""

from typing import Any

import pytest

from chart.releases import CERT_MANAGER, CHART, NAMESPACE, WAYS, Rendered, render
from testbed import helm

HARMLESS = {
    ("", "events"): "a line in `kubectl describe`",
    ("authentication.k8s.io", "tokenreviews"): "a question, never stored",
    ("coordination.k8s.io", "leases"): "the one in the operator's own namespace, by a Role there",
}
"""Writes of the operator that no policy need restrict, and why."""

_WRITES = {"create", "update", "patch", "delete"}


def policies(release: Rendered) -> dict[str, Any]:
    return {it["metadata"]["name"]: it for it in release.of("ValidatingAdmissionPolicy")}


def bounded(release: Rendered) -> set[tuple[str, str]]:
    """The kinds in the policies."""
    return {
        (group, resource)
        for policy in policies(release).values()
        for rule in policy["spec"]["matchConstraints"]["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def written(release: Rendered) -> set[tuple[str, str]]:
    """The kinds that the operator has permission to write, except for a status."""
    return {
        (group, resource)
        for kind in ("Role", "ClusterRole")
        for role in release.of(kind)
        for rule in role["rules"]
        if _WRITES & set(rule["verbs"])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        if "/" not in resource
    }


def test_every_kind_the_operator_writes_is_bounded_or_harmless() -> None:
    release = render()

    assert len(written(release)) > len(HARMLESS)
    assert written(release) - set(HARMLESS) <= bounded(release)


def test_the_policies_bound_the_account_that_the_operator_runs_as() -> None:
    for way in ("as it comes", "an account with another name", "rights made by others"):
        release = render(*WAYS[way])
        account = release.deployment["spec"]["template"]["spec"]["serviceAccountName"]

        assert policies(release)
        for policy in policies(release).values():
            (condition,) = policy["spec"]["matchConditions"]
            user = f"system:serviceaccount:{NAMESPACE}:{account}"
            assert condition["expression"] == f'request.userInfo.username == "{user}"'


@pytest.mark.parametrize("way", WAYS)
def test_each_policy_is_enforced_and_fails_closed(way: str) -> None:
    release = render(*WAYS[way])

    bindings = release.of("ValidatingAdmissionPolicyBinding")
    assert {it["spec"]["policyName"] for it in bindings} == set(policies(release))
    assert all(it["spec"]["validationActions"] == ["Deny"] for it in bindings)
    assert all(it["spec"]["failurePolicy"] == "Fail" for it in policies(release).values())


def test_the_webhook_configuration_is_bounded_where_replicas_write_it() -> None:
    assert set(policies(render())) == {"finetune-operator", "finetune-operator-webhook"}
    assert set(policies(render(*CERT_MANAGER))) == {"finetune-operator"}
    assert set(policies(render(*WAYS["a certificate of its own"]))) == {"finetune-operator"}
    assert set(policies(render(*WAYS["no webhook"]))) == {"finetune-operator"}


def test_with_namespaced_roles_the_policy_is_installed_only_on_request() -> None:
    chosen = render(*WAYS["some namespaces"], "admissionPolicy.enabled=true")

    assert not policies(render(*WAYS["some namespaces"]))
    assert set(policies(chosen)) == {f"finetune-operator-{NAMESPACE}"}
    assert not policies(render("admissionPolicy.enabled=false"))


def template(*options: str) -> str:
    return helm.run("template", "finetune-operator", CHART, "--namespace", NAMESPACE, *options)


def test_an_api_server_without_policies_gets_none_and_an_explicit_request_is_refused() -> None:
    """From the kinds of the API server's discovery, as in an installation with helm."""
    older = ("--api-versions", "apps/v1/Deployment")
    kind = "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy"

    assert "ValidatingAdmissionPolicy" not in template(*older)
    assert "kind: ValidatingAdmissionPolicy" in template(*older, "--api-versions", kind)
    with pytest.raises(RuntimeError, match="this API server has no ValidatingAdmissionPolicy"):
        template(*older, "--set", "admissionPolicy.enabled=true")


def expressions(*settings: str) -> str:
    spec = policies(render(*settings))["finetune-operator"]["spec"]
    return "\n".join(it["expression"] for it in spec["validations"])


@pytest.mark.parametrize(
    ("setting", "expression"),
    [
        ("guardRails.namespaces={team-*,research}", r'matches("^(team-.*|research)$")'),
        ("guardRails.namespaces={a.b,[!x]?}", r'matches("^(a\\.b|[^x].)$")'),
        ("guardRails.allowedServiceAccounts={a.b*}", r'matches("^(a\\.b.*)$")'),
        ("guardRails.allowedHostPaths={/mnt/nvme}", '["/mnt/nvme"].exists(folder'),
    ],
)
def test_the_policy_contains_the_guard_rails(setting: str, expression: str) -> None:
    assert expression in expressions(setting)
    assert expression not in expressions()


def test_without_guard_rails_namespaces_are_unrestricted_and_host_paths_are_refused() -> None:
    assert "request.namespace.matches" not in expressions()
    assert "[].exists(folder" in expressions()


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ("registry.example.com:5000/ml/trainer:1.2", "registry.example.com:5000/ml/trainer"),
        ("registry.example.com:5000/ml/trainer", "registry.example.com:5000/ml/trainer"),
        ("trainer:dev", "trainer"),
        (f"registry.example.com/trainer:1@sha256:{'1' * 64}", "registry.example.com/trainer"),
    ],
)
def test_each_image_can_be_pinned_by_its_digest(image: str, reference: str) -> None:
    digest = f"sha256:{'a' * 64}"
    release = render(
        f"trainer.image={image}",
        *("resultsPage.enabled=true", f"resultsPage.image.digest={digest}"),
        *(f"trainer.digest={digest}", f"image.digest={digest}"),
    )

    assert release.environment["TRAINER_IMAGE"] == f"{reference}@{digest}"
    assert release.container["image"].endswith(f"@{digest}")
    assert release.page["containers"][0]["image"].endswith(f"@{digest}")


def test_a_ca_bundle_without_the_certificate_it_signed_is_refused() -> None:
    with pytest.raises(RuntimeError, match="caBundle is given without"):
        render("webhook.certificate.caBundle=Q0E=")
