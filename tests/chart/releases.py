# SPDX-License-Identifier: Apache-2.0
"""The rendered chart: one release for each typical way of installing it."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from testbed import helm

CHART = Path(__file__).parents[2] / "charts" / "finetune-operator"
NAMESPACE = "finetune-system"

Manifest = dict[str, Any]

_NODE_WITHOUT = (
    "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
    ".nodeSelectorTerms[0].matchExpressions[0]"
)

WAYS: dict[str, tuple[str, ...]] = {
    "as it comes": (),
    "one replica": ("replicas=1",),
    "some namespaces": ("watchNamespaces={team-a,team-b}",),
    "some namespaces, with no right on the cluster": (
        "watchNamespaces={team-a}",
        "rbac.tokenReviews=false",
        "crds.install=false",
    ),
    "a certificate of its own": (
        "webhook.certificate.secretName=our-tls",
        "webhook.certificate.caBundle=Q0E=",
        "webhook.failurePolicy=Fail",
    ),
    "some namespaces with a certificate": (
        "watchNamespaces={team-a}",
        "webhook.certificate.secretName=our-tls",
    ),
    "no webhook": ("webhook.enabled=false",),
    "rights for users": ("rbac.aggregate=true",),
    "rights made by others": ("rbac.create=false", "serviceAccount.create=false"),
    "an account with another name": (
        "serviceAccount.name=tuner",
        "serviceAccount.annotations.example\\.com/role=tuner",
    ),
    "guard rails": (
        "guardRails.namespaces={team-*}",
        "guardRails.allowedImages={registry.example.com/ml/*}",
        "guardRails.allowTrustRemoteCode=true",
        "guardRails.outputPrefixes={s3://models/\\{namespace\\}}",
        "guardRails.maxGpus=16",
        "guardRails.allowedHostPaths={/mnt/nvme}",
        "guardRails.allowedServiceAccounts={default,trainer-*}",
        "memoryCheck.gpuMemory=80Gi",
    ),
    "a place of its own": (
        "nodeSelector.pool=system",
        "tolerations[0].operator=Exists",
        "priorityClassName=system-cluster-critical",
        "topologySpreadConstraints[0].maxSkew=1",
        "topologySpreadConstraints[0].topologyKey=zone",
        "topologySpreadConstraints[0].whenUnsatisfiable=ScheduleAnyway",
        f"{_NODE_WITHOUT}.key=gpu",
        f"{_NODE_WITHOUT}.operator=DoesNotExist",
    ),
    "an image by digest": (
        f"image.digest=sha256:{'0' * 64}",
        "imagePullSecrets[0].name=registry",
    ),
    "labels and annotations": (
        "commonLabels.team=platform",
        "podLabels.tier=control",
        "podAnnotations.example\\.com/a=b",
    ),
    "a network policy": (
        "networkPolicy.enabled=true",
        "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring",
    ),
    "a results page": ("resultsPage.enabled=true", "commonLabels.team=platform"),
    "a results page by digest": (
        "resultsPage.enabled=true",
        "resultsPage.image.repository=registry.example.com/ml/finetune-results-page",
        f"resultsPage.image.digest=sha256:{'1' * 64}",
        "resultsPage.image.pullPolicy=Always",
        "imagePullSecrets[0].name=registry",
    ),
    "a dashboard": ("metrics.dashboard.enabled=true",),
    "manifests of their own": (
        "extraManifests[0].apiVersion=v1",
        "extraManifests[0].kind=ConfigMap",
        "extraManifests[0].metadata.name=\\{\\{ .Release.Name \\}\\}-more",
    ),
    "another variable": ("operator.extraEnv[0].name=TZ", "operator.extraEnv[0].value=UTC"),
}
"""The settings, by purpose: only with kinds that every API server has."""

PROMETHEUS = (
    "metrics.serviceMonitor.enabled=true",
    "metrics.serviceMonitor.labels.release=prometheus",
    "metrics.prometheusRule.enabled=true",
)
CERT_MANAGER = ("webhook.certificate.certManager.enabled=true",)


@dataclass(frozen=True)
class Rendered:
    """The objects of a release."""

    manifests: list[Manifest]

    def of(self, kind: str) -> list[Manifest]:
        return [manifest for manifest in self.manifests if manifest["kind"] == kind]

    def only(self, kind: str) -> Manifest:
        (found,) = self.of(kind)
        return found

    @property
    def deployment(self) -> Manifest:
        """The operator's."""
        deployments = self.of("Deployment")
        (found,) = [it for it in deployments if it["metadata"]["name"] == "finetune-operator"]
        return found

    @property
    def page(self) -> Manifest:
        """The pod of the results page."""
        deployments = self.of("Deployment")
        (found,) = [it for it in deployments if it["metadata"]["name"] == "finetune-results-page"]
        pod: Manifest = found["spec"]["template"]["spec"]
        return pod

    @property
    def container(self) -> Manifest:
        container: Manifest = self.deployment["spec"]["template"]["spec"]["containers"][0]
        return container

    @property
    def environment(self) -> dict[str, str]:
        return {it["name"]: it["value"] for it in self.container["env"] if "value" in it}


def text(*settings: str, values: Path | None = None) -> str:
    """The manifests that helm would send to the API server, as YAML.

    Raises:
        RuntimeError: helm refuses the values; the message contains its output.
    """
    chosen = [word for setting in settings for word in ("--set", setting)]
    file = () if values is None else ("--values", values)
    release = "finetune-operator"
    return helm.run("template", release, CHART, "--namespace", NAMESPACE, *file, *chosen)


@cache
def render(*settings: str, values: Path | None = None) -> Rendered:
    """The parsed manifests, read once for each way: they must not be changed."""
    # The loader in C: PyYAML's own takes seconds for the CRDs.
    rendered = yaml.load_all(text(*settings, values=values), yaml.CSafeLoader)
    return Rendered([found for found in rendered if found])
