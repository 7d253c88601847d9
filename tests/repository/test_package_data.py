# SPDX-License-Identifier: Apache-2.0
"""What our packages read beside their code goes wherever the code goes: into wheels and images."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from repository.tracked import ROOT, tracked_files

DATA = {
    "job-spec": {".json", ".toml"},
    "trainer-image": {".jinja", ".html", ".css"},
    "results-page": {".html", ".css", ".js"},
}
"""Project -> the kinds of file beside its modules."""


def data_of(project: str) -> set[str]:
    """The files of a project that are no modules, from its `src/`."""
    folder = ROOT / project / "src"
    files = (file for file in tracked_files() if file.is_relative_to(folder))
    return {str(file.relative_to(folder)) for file in files if file.suffix != ".py"}


@pytest.mark.parametrize("project", DATA)
def test_a_project_has_the_data_that_it_is_known_to_have(project: str) -> None:
    assert {Path(name).suffix for name in data_of(project)} >= DATA[project]


@pytest.mark.parametrize("project", ["job-spec", "trainer-image"])
@pytest.mark.slow
def test_a_wheel_has_everything_that_lies_beside_the_code(project: str, tmp_path: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    build = [uv, "build", "--wheel", "--no-sources", "--quiet", "--out-dir", tmp_path, project]
    subprocess.run(list(map(str, build)), cwd=ROOT, check=True)

    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert data_of(project) <= set(archive.namelist())


@pytest.mark.parametrize(
    ("file", "projects"),
    [
        ("Dockerfile", {"job-spec", "results-page"}),
        ("trainer-image/Dockerfile", {"job-spec", "trainer-image", "command-line"}),
    ],
)
def test_an_image_copies_whole_folders_with_data_in_them(file: str, projects: set[str]) -> None:
    recipe = (ROOT / file).read_text()
    copied = re.findall(r"^COPY (.*/src.*) /opt/finetune/src/$", recipe, re.MULTILINE)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()

    assert len(copied) == 1
    assert {f"{project}/src" for project in projects} <= set(copied[0].split())
    assert {f"!{project}/src" for project in projects} <= set(ignored)
    assert ignored[-2:] == ["**/__pycache__", "**/.*_cache"]
