# SPDX-License-Identifier: Apache-2.0
"""Our code and its data files are in wheels and images, each project in its own."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from repository.tracked import ROOT, tracked_files

DATA = {
    "job-spec": {".json", ".toml"},
    "trainer-image": {".jinja", ".html", ".css"},
    "results-page": {".html", ".css", ".js"},
}
"""Project -> the kinds of data files next to its modules."""


def data_of(project: str) -> set[str]:
    """The files of a project that are not modules, from its `src/`."""
    folder = ROOT / project / "src"
    files = (file for file in tracked_files() if file.is_relative_to(folder))
    return {str(file.relative_to(folder)) for file in files if file.suffix != ".py"}


def code_copied_by(dockerfile: str) -> set[str]:
    recipe = (ROOT / dockerfile).read_text()
    (copied,) = re.findall(r"^COPY (.*/src.*) /opt/finetune/src/$", recipe, re.MULTILINE)
    return set(copied.split())


def needed_by(project: str) -> set[str]:
    """The directories of a project and of our projects that it depends on."""
    declared = {
        file.parent.name: tomllib.loads(file.read_text())["project"]
        for file in ROOT.glob("*/pyproject.toml")
    }
    folder_of = {it["name"]: folder for folder, it in declared.items()}
    needed: set[str] = set()
    waiting = [project]
    while waiting:
        needed.add(folder := waiting.pop())
        names = {re.split(r"[\[<>=~! ]", it)[0] for it in declared[folder]["dependencies"]}
        waiting += [folder_of[name] for name in names & folder_of.keys()]
    return needed


@pytest.mark.parametrize("project", DATA)
def test_a_project_contains_its_known_data_files(project: str) -> None:
    assert {Path(name).suffix for name in data_of(project)} >= DATA[project]


@pytest.mark.parametrize("project", ["job-spec", "trainer-image"])
@pytest.mark.slow
def test_a_wheel_contains_all_data_next_to_the_code(project: str, tmp_path: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    build = [uv, "build", "--wheel", "--no-sources", "--quiet", "--out-dir", tmp_path, project]
    subprocess.run(list(map(str, build)), cwd=ROOT, check=True)

    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert data_of(project) <= set(archive.namelist())


@pytest.mark.parametrize(
    ("file", "projects"),
    [
        ("Dockerfile", {"job-spec"}),
        ("results-page/Dockerfile", {"results-page"}),
        ("trainer-image/Dockerfile", {"job-spec", "trainer-image", "command-line"}),
    ],
)
def test_an_image_copies_complete_directories_that_contain_data(
    file: str, projects: set[str]
) -> None:
    copied = code_copied_by(file)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()

    assert {f"{project}/src" for project in projects} <= copied
    assert {f"!{project}/src" for project in projects} <= set(ignored)
    assert ignored[-2:] == ["**/__pycache__", "**/.*_cache"]


@pytest.mark.parametrize(
    ("file", "project"),
    [
        ("Dockerfile", "operator"),
        # With `finetune download`, which runs in a pod for users without credentials.
        ("trainer-image/Dockerfile", "command-line"),
        ("results-page/Dockerfile", "results-page"),
    ],
)
def test_an_image_contains_its_project_and_the_projects_dependencies_only(
    file: str, project: str
) -> None:
    assert code_copied_by(file) == {f"{folder}/src" for folder in needed_by(project)}
