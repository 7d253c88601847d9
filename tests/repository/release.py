# SPDX-License-Identifier: Apache-2.0
"""The files of a release, in build/release: wheels and sdists, chart, manifests, SBOMs, checksums.

`make release VERSION=0.2.0` runs it. The same sources give the same bytes. It publishes nothing and
builds no images: docs/platform/install.md does.
"""

import gzip
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from repository.tracked import ROOT, tracked_files

FOLDER = ROOT / "build" / "release"
CHART = ROOT / "charts" / "finetune-operator"
PROJECTS = ("contract", "job-spec", "operator", "results-page", "trainer-image", "command-line")
"""What others install; the testbed is for developers."""


def version() -> str:
    """The version of this repository; tests hold that all of its parts have it."""
    return str(yaml.safe_load((CHART / "Chart.yaml").read_text())["version"])


def build(folder: Path) -> None:
    """Make every file of a release but the SBOMs, which `make sbom` writes before."""
    for project in PROJECTS:
        _build_project(project, folder)
    (folder / f"finetune-operator-{version()}.tgz").write_bytes(chart_archive())
    (folder / "crds.yaml").write_text(_documents(sorted((ROOT / "crds").glob("*.yaml"))))
    order = yaml.safe_load((ROOT / "deploy" / "Kustomization").read_text())["resources"]
    (folder / "operator.yaml").write_text(_documents([ROOT / "deploy" / each for each in order]))
    for bill in sorted((ROOT / "build" / "sbom").glob("*.cdx.json")):
        shutil.copyfile(bill, folder / bill.name)
    (folder / "SHA256SUMS").write_text("".join(checksums(folder)))


def chart_archive() -> bytes:
    """The chart as `helm package` has it, but without times: helm writes those of the files."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        files = {file for file in tracked_files() if file.is_relative_to(CHART)}
        for file in sorted(files):
            content = file.read_bytes()
            entry = tarfile.TarInfo(f"{CHART.name}/{file.relative_to(CHART).as_posix()}")
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), mtime=0)


def checksums(folder: Path) -> Iterator[str]:
    """The lines that `sha256sum --check` reads."""
    for file in sorted(folder.iterdir()):
        if file.name != "SHA256SUMS":
            yield f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"


def _build_project(project: str, folder: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    words = [uv, "build", "--no-sources", "--quiet", "--no-create-gitignore"]
    subprocess.run([*map(str, words), "--out-dir", str(folder), project], cwd=ROOT, check=True)


def _documents(files: list[Path]) -> str:
    return "\n---\n".join(file.read_text().strip() for file in files) + "\n"


def main(asked_for: str) -> int:
    if asked_for != version():
        print(
            f"VERSION is {asked_for or 'not set'}, but this repository has version {version()}: "
            "change the version in charts/finetune-operator/Chart.yaml and in every "
            "pyproject.toml, then run make generate and make check"
        )
        return 1
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    build(FOLDER)
    print((FOLDER / "SHA256SUMS").read_text(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
