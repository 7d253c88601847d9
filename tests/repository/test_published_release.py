# SPDX-License-Identifier: Apache-2.0
"""A release in a registry on 127.0.0.1: the chart that helm pulls names existing images.

The images are fakes of a few bytes; tests/cluster/test_published_release.py installs the real
ones.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from repository import released_chart
from repository.fake_publication import LABEL, VERSION, Published, publish
from testbed import helm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("go") is None, reason="The registry is built from Go modules."),
]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    with publish(tmp_path_factory.mktemp("published")) as release:
        yield release


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
