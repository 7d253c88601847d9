# SPDX-License-Identifier: Apache-2.0
"""A release as users install it: `helm install oci://... --version`, without values.

Images and chart come from a registry that the node pulls from; nothing else is loaded but the image
for each pod's namespaces.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.installation import DEPLOYMENT, RELEASE, REPOSITORY
from cluster.jobs import EXAMPLE, Jobs
from repository import released_chart
from repository.publication import Publication, repository_version
from testbed import helm, images, registry, requirements, stock
from testbed.cluster import Cluster

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.own_cluster,
    pytest.mark.long,
    pytest.mark.skipif(bool(requirements.missing()), reason=" ".join(requirements.missing())),
]

VERSION = repository_version()
NAMED = "127.0.0.1:5000"
"""The node's address of the registry, which runs in its network."""
PUBLICATION = Publication(
    version=VERSION, registry=f"{NAMED}/ml", downloads="https://example.com/releases/v0"
)


@dataclass(frozen=True)
class Published:
    cluster: Cluster
    charts: str
    """Where helm finds the chart, through a forwarder."""

    def helm(self, *words: str | Path) -> str:
        return helm.run(*words, "--plain-http", kubeconfig=self.cluster.kubeconfig)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    folder = tmp_path_factory.mktemp("published")
    chart = folder / f"finetune-operator-{VERSION}.tgz"
    chart.write_bytes(released_chart.chart_archive(PUBLICATION))
    for image in images.OURS.values():
        images.build(image)
    with (
        Cluster.up() as cluster,
        registry.serving(
            folder / "blobs", entering=cluster.command_inside(), address=NAMED
        ) as inside,
    ):
        port = cluster.forward(*_host_and_port(inside.address))
        reached = f"127.0.0.1:{port}"
        for name, released in released_chart.image_names(PUBLICATION).items():
            images.push(name, released.replace(NAMED, reached, 1))
        found = Published(cluster, f"oci://{reached}/ml/charts")
        found.helm("push", chart, found.charts)
        yield found


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def test_the_released_chart_runs_the_first_job_with_default_values(published: Published) -> None:
    cluster = published.cluster
    stock.fill(cluster.object_store, REPOSITORY / "configs")
    credentials = stock.environment(cluster.object_store, cluster.object_store_endpoint_for_pods)
    cluster.kubectl("apply", "-f", "-", input=stock.secret(credentials))
    jobs = Jobs(kubectl=cluster.kubectl, namespace="default")

    published.helm(
        *("install", *RELEASE, f"{published.charts}/finetune-operator", "--version", VERSION),
        *("--create-namespace", "--wait", "--timeout=5m"),
    )
    jobs.run("apply", "--server-side", "-f", str(EXAMPLE))
    jobs.wait_for_step("first-job", 1)
    (pod,) = jobs.pods("first-job")
    status = jobs.wait_for_end("first-job")

    assert status["phase"] == "Succeeded", status
    names = released_chart.image_names(PUBLICATION)
    trained = {container["image"] for container in pod["spec"]["containers"]}
    assert trained == {names[images.TRAINER.tag]}
    installed = cluster.kubectl(
        "get", *DEPLOYMENT, "-o", "jsonpath={.spec.template.spec.containers[0].image}"
    )
    assert installed == names[images.OPERATOR.tag]
