# SPDX-License-Identifier: Apache-2.0
"""Each image, from the point of view of a security reviewer and a registry."""

import json
import tomllib
from dataclasses import replace
from typing import Any

import pytest

from cluster.installation import REPOSITORY, Installation
from testbed import images, requirements
from testbed.images import BuiltImage, Image

pytestmark = pytest.mark.cluster

PROJECTS = {
    images.OPERATOR: "operator",
    images.TRAINER: "trainer-image",
    images.RESULTS_PAGE: "results-page",
}
SMALL = (images.OPERATOR, images.RESULTS_PAGE)
"""Those that need only Python from their base."""


@pytest.fixture(params=PROJECTS, ids=lambda image: image.tag)
def image(request: pytest.FixtureRequest, installation: Installation) -> BuiltImage:
    """Built, because it is installed."""
    if installation.cluster is None:
        pytest.skip("The images of a given cluster are not built here.")
    return images.find(request.param.tag)


def config_of(image: BuiltImage) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(image.config)["config"]
    return config


def test_no_image_runs_as_root(image: BuiltImage) -> None:
    assert config_of(image)["User"] == "65532:65532"


def test_the_labels_of_an_image_describe_it(image: BuiltImage) -> None:
    labels = config_of(image)["Labels"]
    (project,) = [folder for it, folder in PROJECTS.items() if it.tag == image.tag]
    declared = tomllib.loads((REPOSITORY / project / "pyproject.toml").read_text())["project"]

    assert labels["org.opencontainers.image.title"] == declared["name"]
    assert labels["org.opencontainers.image.version"] == declared["version"]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_our_code_is_a_small_layer_of_its_own(image: BuiltImage) -> None:
    code, *others = [it for it in image.layers if (it.folder / "opt/finetune/src").is_dir()]
    size = sum(file.stat().st_size for file in code.folder.rglob("*") if file.is_file())

    assert others == []
    assert [folder.name for folder in (code.folder / "opt/finetune").iterdir()] == ["src"]
    assert size < 5 * 2**20


def test_no_module_is_compiled_each_time_a_container_starts(image: BuiltImage) -> None:
    layers = [layer.folder / "opt/finetune/src" for layer in image.layers]
    (code,) = [folder for folder in layers if folder.is_dir()]
    compiled = {
        file.parent.parent / f"{file.name.partition('.')[0]}.py" for file in code.rglob("*.pyc")
    }

    assert compiled == set(code.rglob("*.py"))


def programs_of(image: BuiltImage) -> set[str]:
    places = ("bin", "usr/bin", "usr/local/bin", "opt/finetune/bin", "opt/finetune/packages/bin")
    folders = [layer.folder / place for layer in image.layers for place in places]
    return {file.name for folder in folders if folder.is_dir() for file in folder.iterdir()}


def test_no_image_contains_an_installer(image: BuiltImage) -> None:
    programs = programs_of(image)

    assert "python3" in programs
    assert not programs & {"pip", "pip3", "uv"}


@pytest.mark.parametrize("small", SMALL, ids=lambda image: image.tag)
def test_the_images_of_operator_and_results_page_run_without_a_shell(
    installation: Installation, small: Image
) -> None:
    if installation.cluster is None:
        pytest.skip("The images of a given cluster are not built here.")
    programs = programs_of(images.find(small.tag))

    assert "python3" in programs
    assert not programs & {"sh", "bash", "dash", "env", "apt", "dpkg"}


def packages_of(image: BuiltImage) -> set[str]:
    """The packages that can be imported in it, other than the standard library."""
    places = ("opt/finetune/src", "opt/finetune/packages")
    folders = [layer.folder / place for layer in image.layers for place in places]
    return {file.name for folder in folders if folder.is_dir() for file in folder.iterdir()}


def test_neither_the_operator_nor_the_results_page_image_contains_code_of_the_other(
    installation: Installation,
) -> None:
    if installation.cluster is None:
        pytest.skip("The images of a given cluster are not built here.")
    operator, page = (packages_of(images.find(image.tag)) for image in SMALL)

    assert {"finetune_operator", "kopf"} <= operator
    assert {"finetune_results_page", "aiohttp"} <= page
    assert not operator & {"finetune_results_page", "kubernetes"}
    assert not page & {"finetune_operator", "finetune_spec", "kopf", "kubernetes", "cryptography"}


@pytest.mark.long
@pytest.mark.parametrize("small", SMALL, ids=lambda image: image.tag)
def test_the_same_sources_build_the_same_image(small: Image) -> None:
    if reasons := requirements.missing():
        pytest.skip(" ".join(reasons))
    again = [replace(small, tag=f"localhost/made-again:{number}") for number in (1, 2)]
    for image in again:
        images.build(image, "--no-cache", "--timestamp", "0")
    first, second = (images.find(image.tag) for image in again)

    assert first.manifest == second.manifest
    assert first.config == second.config
