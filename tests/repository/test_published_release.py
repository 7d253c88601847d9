# SPDX-License-Identifier: Apache-2.0
"""A release in a registry on 127.0.0.1: the chart that helm pulls names existing images.

The images are fakes of a few bytes; tests/cluster/test_published_release.py installs the real
ones.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from repository import released_chart
from repository.archives import tar_gz
from repository.publication import Publication, repository_version
from testbed import helm, registry
from testbed.registry import Registry

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("go") is None, reason="The registry is built from Go modules."),
]

VERSION = repository_version()
LABEL = "org.opencontainers.image.version"


@dataclass(frozen=True)
class Published:
    """A release at its published location."""

    registry: Registry
    publication: Publication

    @property
    def chart(self) -> str:
        return f"oci://{self.publication.registry}/charts/finetune-operator"

    def helm(self, *words: str) -> str:
        return helm.run(*words, "--plain-http", "--version", VERSION)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    folder = tmp_path_factory.mktemp("published")
    with registry.serving(folder / "blobs") as started:
        publication = Publication(
            version=VERSION,
            registry=f"{started.address}/ml",
            downloads="https://example.com/releases/v0",
        )
        for reference in released_chart.image_names(publication).values():
            started.push(reference, tar_gz({"stand-in": b""}), {LABEL: VERSION})
        chart = folder / f"finetune-operator-{VERSION}.tgz"
        chart.write_bytes(released_chart.chart_archive(publication))
        helm.run("push", chart, f"oci://{publication.registry}/charts", "--plain-http")
        yield Published(started, publication)


def images_in(manifests: str) -> set[str]:
    """The images of the containers, and of the trainer that the operator starts."""
    found = set()
    for document in yaml.load_all(manifests, Loader=yaml.CSafeLoader):
        if document and document["kind"] == "Deployment":
            for container in document["spec"]["template"]["spec"]["containers"]:
                found.add(container["image"])
                variables = container.get("env", ())
                found |= {it["value"] for it in variables if it["name"] == "TRAINER_IMAGE"}
    return found


@pytest.mark.parametrize(
    "values", [(), ("--set", "resultsPage.enabled=true")], ids=["no values", "a results page"]
)
def test_the_chart_names_images_of_its_version_that_the_registry_has(
    published: Published, values: tuple[str, ...]
) -> None:
    named = images_in(published.helm("template", "it", published.chart, *values))

    assert len(named) == (3 if values else 2)
    for reference in named:
        assert published.registry.config(reference)["config"]["Labels"][LABEL] == VERSION


def test_the_chart_does_not_drop_the_operators_image(published: Published) -> None:
    """Both are called finetune-operator, with the same tag."""
    names = released_chart.image_names(published.publication).values()
    (operator,) = (name for name in names if "/finetune-operator:" in name)
    chart = published.registry.manifest(published.chart.removeprefix("oci://") + f":{VERSION}")
    image = published.registry.manifest(operator)

    assert chart is not None
    assert image is not None
    assert chart["config"]["mediaType"] == "application/vnd.cncf.helm.config.v1+json"
    assert image["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"


def test_helm_pulls_the_released_bytes(published: Published, tmp_path: Path) -> None:
    published.helm("pull", published.chart, "--destination", str(tmp_path))

    pulled = (tmp_path / f"finetune-operator-{VERSION}.tgz").read_bytes()
    assert pulled == released_chart.chart_archive(published.publication)


def test_an_unpublished_version_is_not_found(published: Published) -> None:
    with pytest.raises(RuntimeError, match=r"99\.0\.0"):
        helm.run("pull", published.chart, "--plain-http", "--version", "99.0.0")
