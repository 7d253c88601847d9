# SPDX-License-Identifier: Apache-2.0
"""The chart, rendered by the real helm: the effect of each value, and what it never does."""

import inspect
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.releases import CERT_MANAGER, CHART, NAMESPACE, PROMETHEUS, WAYS, Rendered, render
from finetune_operator.settings import Settings
from testbed import helm

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())

VALUES_OF_OURS = sorted((CHART.parents[1] / "configs" / "helm").glob("*.yaml"))

OF_THE_POD = {"POD_NAME", "POD_NAMESPACE"}
NOT_IN_A_CLUSTER = {
    "KUBECONFIG",
    "LISTEN_ADDRESS",
    "PORT",
    "PROGRESS_URL",
    "WEBHOOK_CERTIFICATE_SECONDS",
}
"""Variables for running elsewhere, and for tests: the Service's ports are the chart's own."""


@pytest.fixture(scope="module", params=WAYS.values(), ids=WAYS)
def release(request: pytest.FixtureRequest) -> Rendered:
    return render(*request.param)


def test_helm_lint_accepts_the_chart() -> None:
    assert "0 chart(s) failed" in helm.run("lint", "--strict", CHART)


def test_the_chart_has_the_operators_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((CHART.parents[1] / "operator" / "pyproject.toml").read_text())

    assert chart["version"] == chart["appVersion"] == project["project"]["version"]


def test_every_object_is_labelled_with_its_release(release: Rendered) -> None:
    own = [it for it in release.manifests if it["kind"] != "CustomResourceDefinition"]

    assert len(own) >= 3
    for manifest in own:
        if manifest["metadata"]["name"] != "finetune-operator-more":
            labels = manifest["metadata"]["labels"]
            name = labels["app.kubernetes.io/name"]
            assert labels["app.kubernetes.io/managed-by"] == "Helm"
            assert name in ("finetune-operator", "finetune-results-page")


def test_the_operator_parses_the_settings_the_chart_renders(release: Rendered) -> None:
    settings = Settings.from_env({"POD_NAMESPACE": NAMESPACE, **release.environment})

    assert settings.trainer_image == VALUES["trainer"]["image"]


def test_the_operators_pods_are_restricted_with_any_values(release: Rendered) -> None:
    for deployment in release.of("Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]

        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_no_release_can_read_secrets_or_grant_rights(release: Rendered) -> None:
    rules = [
        rule for kind in ("Role", "ClusterRole") for it in release.of(kind) for rule in it["rules"]
    ]
    named = {resource for rule in rules for resource in rule["resources"]}

    assert not any(
        "*" in (*rule["verbs"], *rule["resources"], *rule["apiGroups"]) for rule in rules
    )
    assert not named & {"secrets", "roles", "clusterroles", "customresourcedefinitions"}


def test_the_charts_defaults_equal_the_operators_defaults() -> None:
    set_by_chart = Settings.from_env(render().environment)
    own = Settings.from_env({"TRAINER_IMAGE": VALUES["trainer"]["image"]})

    differing = {
        name
        for name in Settings.__dataclass_fields__
        if getattr(set_by_chart, name) != getattr(own, name)
    }
    assert differing == {"identity"}


def test_every_operator_setting_is_a_chart_value() -> None:
    variables = set(re.findall(r'^    """([A-Z_]+)\b', inspect.getsource(Settings), re.MULTILINE))
    template = (CHART / "templates" / "_settings.tpl").read_text()

    assert variables - OF_THE_POD - NOT_IN_A_CLUSTER == set(
        re.findall(r'\(list "([A-Z_]+)"', template)
    )


def test_an_unknown_value_is_refused_by_name() -> None:
    with pytest.raises(RuntimeError, match="'imge' not allowed"):
        render("imge.tag=1")


@pytest.mark.parametrize(
    "setting",
    [
        "replicas=two",
        "watchNamespaces={team-*}",
        "trainer.networkPolicy=sometimes",
        "clusterId=our cluster",
        "guardRails.maxGpus=0",
        "guardRails.outputPrefixes={models}",
        "guardRails.allowedHostPaths={mnt}",
        "guardRails.allowedServiceAccounts={}",
        "guardRails.allowedServiceAccounts={Team A}",
        "memoryCheck.gpuMemory=much",
        "memoryCheck.modelConfigs=https://example.com",
        "webhook.failurePolicy=Warn",
        "webhook.timeoutSeconds=60",
        "operator.logLevel=loud",
        "image.digest=latest",
        "trainer.digest=latest",
        "admissionPolicy.enabled=maybe",
        "image.pullPolicy=Sometimes",
        "resultsPage.image.digest=latest",
        "resultsPage.image.repository=",
        "resultsPage.image.pullPolicy=Sometimes",
    ],
)
def test_an_invalid_value_is_refused_before_anything_is_installed(setting: str) -> None:
    name = setting.split("=")[0].replace(".", "/")

    with pytest.raises(RuntimeError, match=rf"at '/{name}"):
        render(setting)


def test_the_schema_and_the_values_have_the_same_keys() -> None:
    assert set(_names(VALUES)) == set(_schema_names(SCHEMA)) - {"global"}


def test_definitions_are_kept_when_the_release_is_uninstalled() -> None:
    kept = render().of("CustomResourceDefinition")
    not_kept = render("crds.keep=false").of("CustomResourceDefinition")

    assert {it["metadata"]["name"] for it in kept} == {
        "finetunejobs.finetune.dev",
        "finetuneschedules.finetune.dev",
    }
    assert [it["metadata"]["annotations"] for it in kept] == [
        {"helm.sh/resource-policy": "keep"}
    ] * 2
    assert ["annotations" in it["metadata"] for it in not_kept] == [False, False]
    assert not render("crds.install=false").of("CustomResourceDefinition")


def test_with_watched_namespaces_the_rights_are_namespaced() -> None:
    release = render("watchNamespaces={team-a,team-b}")
    (cluster_role,) = release.of("ClusterRole")
    jobs = [it for it in release.of("Role") if it["metadata"]["name"] == "finetune-operator-jobs"]

    assert [rule["resources"] for rule in cluster_role["rules"]] == [
        ["tokenreviews"],
        ["namespaces"],
    ]
    assert [it["metadata"]["namespace"] for it in jobs] == ["team-a", "team-b"]
    whole = _role(render(), "finetune-operator")["rules"]
    assert [it["rules"] for it in jobs] == [
        [it for it in whole if it not in cluster_role["rules"]]
    ] * 2
    assert release.environment["WATCH_NAMESPACES"] == "team-a,team-b"


def test_a_namespaced_release_can_run_without_any_cluster_wide_right() -> None:
    release = render(*WAYS["some namespaces, with no right on the cluster"])

    assert {it["kind"] for it in release.manifests} == {
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "Service",
        "Deployment",
        "PodDisruptionBudget",
    }


def test_replicas_that_generate_certificates_may_write_only_their_webhook_configuration() -> None:
    release = render()
    (rule,) = _role(release, "finetune-operator-webhook")["rules"]

    assert rule["resourceNames"] == [
        release.only("ValidatingWebhookConfiguration")["metadata"]["name"]
    ]
    assert rule["verbs"] == ["get", "update"]


def test_with_a_given_certificate_replicas_have_no_webhook_right() -> None:
    release = render("webhook.certificate.secretName=our-tls", "webhook.certificate.caBundle=Q0E=")
    (webhook,) = release.only("ValidatingWebhookConfiguration")["webhooks"]
    (volume,) = release.deployment["spec"]["template"]["spec"]["volumes"]
    (mount,) = release.container["volumeMounts"]

    assert webhook["clientConfig"]["caBundle"] == "Q0E="
    assert volume["secret"]["secretName"] == "our-tls"
    assert release.environment["WEBHOOK_CERTIFICATES"] == mount["mountPath"]
    assert not [it for it in release.of("ClusterRole") if "webhook" in it["metadata"]["name"]]


def test_cert_manager_issues_the_certificate_that_is_mounted() -> None:
    release = render(*CERT_MANAGER)
    certificate = release.only("Certificate")
    (volume,) = release.deployment["spec"]["template"]["spec"]["volumes"]
    injected = release.only("ValidatingWebhookConfiguration")["metadata"]["annotations"]

    assert certificate["spec"]["secretName"] == volume["secret"]["secretName"]
    assert certificate["spec"]["issuerRef"]["name"] == release.only("Issuer")["metadata"]["name"]
    assert injected == {
        "cert-manager.io/inject-ca-from": f"{NAMESPACE}/{certificate['metadata']['name']}"
    }
    assert f"finetune-operator.{NAMESPACE}.svc" in certificate["spec"]["dnsNames"]
    assert not render(*CERT_MANAGER, "webhook.certificate.certManager.issuerRef.name=ours").of(
        "Issuer"
    )


def test_a_disabled_webhook_needs_no_port_service_or_role() -> None:
    release = render("webhook.enabled=false")

    assert Settings.from_env(release.environment).webhook_port is None
    assert [it["metadata"]["name"] for it in release.of("ClusterRole")] == ["finetune-operator"]
    assert [port["name"] for port in release.only("Service")["spec"]["ports"]] == ["progress"]


def test_the_webhook_reviews_only_watched_namespaces() -> None:
    release = render(*WAYS["some namespaces with a certificate"])
    (webhook,) = release.only("ValidatingWebhookConfiguration")["webhooks"]
    (expression,) = webhook["namespaceSelector"]["matchExpressions"]

    assert expression["values"] == ["team-a"]
    assert release.only("ValidatingWebhookConfiguration")["metadata"]["name"] != "finetune-operator"


def test_prometheus_scrapes_the_service_and_keeps_the_jobs_namespaces() -> None:
    release = render(*PROMETHEUS)
    monitor = release.only("ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    service = release.only("Service")

    assert (
        monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    )
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert endpoint["honorLabels"] is True
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_the_charts_alerts_and_dashboard_equal_the_source_files() -> None:
    alerts = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
    dashboard = render(*WAYS["a dashboard"]).only("ConfigMap")

    assert render(*PROMETHEUS).only("PrometheusRule")["spec"] == alerts
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["finetune-operator.json"])["uid"] == "finetune-operator"


def test_a_single_replica_does_not_block_a_drain() -> None:
    assert render().of("PodDisruptionBudget")
    assert not render("replicas=1").of("PodDisruptionBudget")


def test_guard_rails_reach_the_operator() -> None:
    settings = Settings.from_env(render(*WAYS["guard rails"]).environment)

    assert settings.namespaces == ("team-*",)
    assert settings.allowed_images == ("registry.example.com/ml/*",)
    assert settings.allow_trust_remote_code is True
    assert settings.output_prefixes == ("s3://models/{namespace}",)
    assert settings.max_gpus == 16
    assert settings.allowed_host_paths == ("/mnt/nvme",)
    assert settings.allowed_service_accounts == ("default", "trainer-*")
    assert settings.gpu_memory_bytes == 80 * 2**30


@pytest.mark.parametrize(
    ("settings", "account"),
    [
        ((), "finetune-operator"),
        (("serviceAccount.name=tuner",), "tuner"),
        (("serviceAccount.create=false",), "default"),
        (("serviceAccount.create=false", "serviceAccount.name=tuner"), "tuner"),
    ],
)
def test_rights_are_granted_to_the_service_account_of_the_pods(
    settings: tuple[str, ...], account: str
) -> None:
    release = render(*settings)
    bindings = release.of("RoleBinding") + release.of("ClusterRoleBinding")

    assert release.deployment["spec"]["template"]["spec"]["serviceAccountName"] == account
    assert {subject["name"] for it in bindings for subject in it["subjects"]} == {account}


@pytest.mark.parametrize("file", VALUES_OF_OURS, ids=lambda file: file.stem)
def test_each_example_values_file_renders_an_operator(file: Path) -> None:
    release = render(values=file)

    settings = Settings.from_env(release.environment)
    assert settings.trainer_image
    assert release.deployment["spec"]["replicas"] >= 1


def test_pull_secrets_reach_the_operator_and_the_trainers() -> None:
    release = render(values=CHART.parents[1] / "configs" / "helm" / "gpu-cluster.yaml")

    pod = release.deployment["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert Settings.from_env(release.environment).pull_secrets == ("registry",)


def test_a_single_teams_operator_has_no_rights_elsewhere() -> None:
    release = render(values=CHART.parents[1] / "configs" / "helm" / "one-team.yaml")

    assert {it["metadata"]["namespace"] for it in release.of("Role")} == {"research", NAMESPACE}
    assert [rule["resources"] for rule in release.only("ClusterRole")["rules"]] == [
        ["tokenreviews"],
        ["namespaces"],
    ]


def test_extra_manifests_labels_placement_and_digest_are_rendered() -> None:
    more = render(*WAYS["manifests of their own"]).only("ConfigMap")
    labelled = render(*WAYS["labels and annotations"]).deployment
    placed = render(*WAYS["a place of its own"]).deployment["spec"]["template"]["spec"]

    assert more["metadata"]["name"] == "finetune-operator-more"
    assert labelled["metadata"]["labels"]["team"] == "platform"
    assert labelled["spec"]["template"]["metadata"]["labels"] == {
        "app.kubernetes.io/name": "finetune-operator",
        "team": "platform",
        "tier": "control",
    }
    assert placed["nodeSelector"] == {"pool": "system"}
    assert list(placed["affinity"]) == ["nodeAffinity"]
    assert render(*WAYS["an image by digest"]).container["image"].endswith(f"@sha256:{'0' * 64}")


def _role(release: Rendered, name: str) -> dict[str, Any]:
    (role,) = [it for it in release.of("ClusterRole") if it["metadata"]["name"] == name]
    return role


def _names(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        is_free = _at(SCHEMA, f"{prefix}{name}").get("additionalProperties") is not False
        if isinstance(value, dict) and value and not is_free:
            yield from _names(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _schema_names(schema: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, part in schema["properties"].items():
        if "properties" in part:
            yield from _schema_names(part, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _at(schema: dict[str, Any], name: str) -> dict[str, Any]:
    for part in name.split("."):
        schema = schema.get("properties", {}).get(part, {})
    return schema
