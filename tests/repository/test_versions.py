# SPDX-License-Identifier: Apache-2.0
"""All parts of a release have one version, and all references to it are the same."""

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement

from repository import versions
from repository.locks import pinned
from repository.tracked import ROOT
from repository.versions import texts, versions_named_in

PROJECTS = {
    file.parent.name: tomllib.loads(file.read_text())["project"]
    for file in sorted(ROOT.glob("*/pyproject.toml"))
}
CHART = yaml.safe_load((ROOT / "charts" / "finetune-operator" / "Chart.yaml").read_text())
VERSION: str = CHART["version"]

TOGETHER = ("trl", "transformers", "peft", "accelerate", "datasets")
"""Exactly pinned everywhere, because the config's schema is generated from them."""

OURS = {project["name"] for project in PROJECTS.values()}


@pytest.mark.parametrize("project", PROJECTS)
def test_a_project_has_the_version_of_the_chart(project: str) -> None:
    assert PROJECTS[project]["version"] == VERSION


def test_the_chart_installs_the_operator_of_its_own_version() -> None:
    assert CHART["appVersion"] == VERSION


@pytest.mark.parametrize("project", PROJECTS)
def test_a_project_depends_on_its_sibling_projects_at_its_own_version(project: str) -> None:
    """Otherwise pip would combine parts of two releases."""
    declared = PROJECTS[project]
    extras = declared.get("optional-dependencies", {}).values()
    needed = [*declared["dependencies"], *(each for extra in extras for each in extra)]
    kin = [need for need in needed if re.split(r"[\[=<>~! ;]", need)[0] in OURS]

    assert [need for need in kin if not need.endswith(f"=={VERSION}")] == []


def test_dockerfiles_manifests_examples_and_guides_name_only_this_version() -> None:
    named = {
        str(file.relative_to(ROOT)): versions
        for file in texts()
        if (versions := versions_named_in(file.read_text(errors="replace")))
    }

    assert {name: found for name, found in named.items() if found != {VERSION}} == {}
    assert {"Dockerfile", "deploy/operator.yaml", "configs/helm/gpu-cluster.yaml"} <= named.keys()
    assert {
        "docs/contributing/releasing.md",
        "docs/platform/install.md",
        "docs/platform/gitops.md",
        "docs/user/results-page.md",
    } <= named.keys()


@pytest.mark.parametrize(
    "text",
    [
        "docker build -t registry.example.com/ml/finetune-trainer:9.9.9-cuda12 .",
        "  tag: 9.9.9\n",
        "  --set resultsPage.image.tag=9.9.9 --set resultsPage.enabled=true",
        "    targetRevision: v9.9.9\n",
        "FROM scratch\nARG VERSION=9.9.9\n",
        "make release VERSION=9.9.9 REGISTRY=registry.example.com/ml",
        "helm install it oci://r.example.com/charts/finetune-operator --version 9.9.9 -n it",
        "helm push build/release/finetune-operator-9.9.9.tgz",
        "--manifest-url https://example.com/releases/v9.9.9/finetune.yaml",
        '    app.kubernetes.io/version: "9.9.9"\n',
    ],
)
def test_another_version_is_detected_in_each_form(text: str) -> None:
    assert versions_named_in(text) == {"9.9.9"}


FORMS = {
    "chart": (versions.IN_CHART, "version: 0.1.0\nappVersion: 0.1.0\ntype: application\n"),
    "project": (versions.IN_PROJECTS, 'name = "a"\nversion = "0.1.0"\nx = ["torch==2.13.0"]\n'),
    "sibling": (versions.IN_PROJECTS, 'train = ["finetune-trainer[train]==0.1.0"]\n'),
    "image": (versions.IN_TEXTS, "image: r.example.com/finetune-trainer:0.1.0-cuda12\n"),
    "url": (versions.IN_TEXTS, "https://example.com/releases/v0.1.0/finetune.yaml\n"),
}


@pytest.mark.parametrize(("notations", "text"), FORMS.values(), ids=FORMS)
def test_a_new_version_replaces_the_old_one_and_nothing_else(
    notations: tuple[str, ...], text: str
) -> None:
    assert versions.changed(text, "0.2.0", notations) == text.replace("0.1.0", "0.2.0")


def test_a_new_version_gets_a_section_of_the_changelog_once() -> None:
    old = "# Changelog\n\nIntroduction.\n\n## 0.1.0 (2026-12-01)\n\nThe first.\n"

    new = versions.with_section(old, "0.2.0")

    assert re.findall(r"^## (.*)", new, re.MULTILINE) == [
        "0.2.0 (not released yet)",
        "0.1.0 (2026-12-01)",
    ]
    assert versions.with_section(new, "0.2.0") == new


@pytest.mark.parametrize("version", ["", "0.2", "v0.2.0", "0.2.0-rc1"])
def test_an_invalid_version_changes_nothing(
    version: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert versions.main(version) == 1

    assert "expected three numbers, such as 0.2.0" in capsys.readouterr().out


def test_the_changelog_starts_with_this_version() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert headings[0] == VERSION


@pytest.mark.parametrize("project", PROJECTS)
def test_a_project_has_complete_metadata_for_a_package_index(project: str) -> None:
    declared = PROJECTS[project]
    folder = ROOT / project

    assert declared["license"] == "Apache-2.0"
    assert declared["license-files"] == ["LICENSE"]
    assert (folder / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert (folder / declared["readme"]).read_text().startswith("# ")
    assert declared["description"].endswith((".", "development"))
    assert declared.get("urls") == PROJECTS["contract"].get("urls")


def test_the_versions_page_lists_the_pinned_versions() -> None:
    page = (ROOT / "docs" / "reference" / "versions.md").read_text()
    newest, older = (
        pinned(ROOT / "requirements" / f"{lock}.txt") for lock in ("trainer", "trainer-cuda12")
    )

    together = ", ".join(newest[name] for name in TOGETHER)
    assert f"| torch | {newest['torch']} (" in page
    assert f"| {together} |" in page
    assert f"| {older['torch']} (" in page


@pytest.mark.parametrize("project", ["command-line", "trainer-image"])
def test_a_laptop_has_ranges_that_contain_the_versions_of_the_images(project: str) -> None:
    declared = PROJECTS[project]
    extras = declared["optional-dependencies"].values()
    needed = [
        Requirement(it) for it in (*declared["dependencies"], *(i for e in extras for i in e))
    ]
    others = {it.name.lower(): it.specifier for it in needed if it.name not in OURS}
    locked = pinned(ROOT / "requirements" / "dev.txt")

    assert [name for name, allowed in others.items() if locked[name] not in allowed] == []
    exact = {name for name, allowed in others.items() if "==" in str(allowed)}
    assert exact == (set(TOGETHER) if project == "trainer-image" else set())
    open_ended = {name for name, allowed in others.items() if "<" not in str(allowed)}
    assert open_ended == exact
