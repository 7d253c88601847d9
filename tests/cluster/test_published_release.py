# SPDX-License-Identifier: Apache-2.0
"""A release as strangers use it: with README and the release's files, without a clone or values.

Images and chart come from a registry that the node pulls from; nothing else is loaded but the image
for each pod's namespaces.
"""

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.installation import DEPLOYMENT, REPOSITORY
from cluster.jobs import Jobs
from cluster.shell import Shell
from repository import plugin_archive, release, released_chart
from repository.publication import Publication, repository_version
from support import guide
from testbed import binaries, helm, images, registry, requirements, stock
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


README = REPOSITORY / "README.md"
IN_README = "registry.example.com/ml"
"""README's registry, which a reader replaces."""


@dataclass(frozen=True)
class Published:
    cluster: Cluster
    files: Path
    """The directory with the release's files."""
    registry: str
    """Where this machine finds the registry's images and charts, through a forwarder."""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    files = tmp_path_factory.mktemp("release")
    release.build(PUBLICATION, files)
    for image in images.OURS.values():
        images.build(image)
    with (
        Cluster.up() as cluster,
        registry.serving(
            tmp_path_factory.mktemp("blobs"), entering=cluster.command_inside(), address=NAMED
        ) as inside,
    ):
        port = cluster.forward(*_host_and_port(inside.address))
        reached = f"127.0.0.1:{port}"
        for name, released in released_chart.image_names(PUBLICATION).items():
            images.push(name, released.replace(NAMED, reached, 1))
        chart = files / f"finetune-operator-{VERSION}.tgz"
        helm.run("push", chart, f"oci://{reached}/ml/charts", "--plain-http")
        yield Published(cluster, files, f"{reached}/ml")


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def commands_to_the_first_result() -> list[str]:
    """README's, except those of a clone."""
    text = README.read_text()
    sections = "".join(guide.section_of(text, it) for it in ("Install", "The first job"))
    blocks = guide.blocks_of(sections, without=["helm install finetune-operator charts/"])
    return "\n".join(blocks).splitlines()


def test_readme_leads_to_the_first_result_in_four_commands() -> None:
    words = [command.split()[:2] for command in commands_to_the_first_result()]

    assert words == [
        ["helm", "install"],
        ["kubectl", "create"],
        ["kubectl", "apply"],
        ["kubectl", "wait"],
    ]


@pytest.fixture(scope="module")
def followed(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The cluster of a reader who has typed README's commands among the release's files."""
    cluster = published.cluster
    stock.fill(cluster.object_store, REPOSITORY / "configs")
    credentials = stock.environment(cluster.object_store, cluster.object_store_endpoint_for_pods)
    instead = {
        IN_README: published.registry,
        # This registry has no certificate.
        "helm install": "helm install --plain-http",
        **guide.with_credentials(credentials),
    }
    tools = tmp_path_factory.mktemp("tools")
    stranger = Shell(cluster.kubeconfig, "default", tools, within=published.files)
    for command in commands_to_the_first_result():
        # The node pulls the trainer's image, some 3 GB.
        done = stranger.type(guide.typed(command, instead), seconds=2400)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return cluster


def test_readme_and_the_releases_files_run_the_first_job_with_default_values(
    followed: Cluster,
) -> None:
    jobs = Jobs(kubectl=followed.kubectl, namespace="default")
    status = jobs.status("first-job")
    assert status["phase"] == "Succeeded", status
    (pod,) = jobs.pods("first-job")
    names = released_chart.image_names(PUBLICATION)
    trained = {container["image"] for container in pod["spec"]["containers"]}
    assert trained == {names[images.TRAINER.tag]}
    installed = followed.kubectl(
        "get", *DEPLOYMENT, "-o", "jsonpath={.spec.template.spec.containers[0].image}"
    )
    assert installed == names[images.OPERATOR.tag]


def test_the_releases_plugin_shows_the_result_to_a_bare_python(
    published: Published, followed: Cluster, tmp_path: Path
) -> None:
    with tarfile.open(published.files / plugin_archive.archive_name(VERSION)) as archive:
        archive.extractall(tmp_path, filter="data")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "kubectl").symlink_to(binaries.cluster_programs()["kubectl"])
    environment = {"KUBECONFIG": str(followed.kubeconfig), "HOME": str(tmp_path)}

    def plugin(*words: str) -> str:
        # Not the venv's python, which has our packages.
        python = Path(sys.base_prefix) / "bin" / "python3"
        done = subprocess.run(
            [python, "-I", "-S", tmp_path / plugin_archive.PROGRAM, *words],
            env=environment | {"PATH": f"{tools}:/usr/bin:/bin"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert plugin("--version") == f"kubectl finetune {VERSION}\n"
    assert "s3://models/first-job/" in plugin("results", "first-job", "-n", "default")
