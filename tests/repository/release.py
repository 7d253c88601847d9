# SPDX-License-Identifier: Apache-2.0
"""The files of a release, in build/release: wheels and sdists, chart, manifests, the first job with
its schemas, the archive and krew manifest of `kubectl finetune`, SBOMs, provenance, checksums.

`make release VERSION= REGISTRY= DOWNLOADS=` runs it. The same sources give the same bytes. It
publishes nothing and builds no images: docs/contributing/releasing.md describes both.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from repository import plugin_archive, provenance, released_chart
from repository.publication import Publication, problems
from repository.tracked import ROOT, tracked_files

FOLDER = ROOT / "build" / "release"
PROJECTS = ("contract", "job-spec", "operator", "results-page", "trainer-image", "command-line")
"""The published projects; the testbed is for developers."""
CONFIGS = ROOT / "configs"
FIRST_JOB = CONFIGS / "examples" / "first-job.yaml"
CHECKSUMS = "SHA256SUMS"


def build(publication: Publication, folder: Path) -> None:
    """Creates every file of a release except the SBOMs, which `make sbom` writes before."""
    version = publication.version
    for project in PROJECTS:
        _build_project(project, publication, folder)
    chart = released_chart.chart_archive(publication)
    (folder / f"finetune-operator-{version}.tgz").write_bytes(chart)
    (folder / "crds.yaml").write_text(_documents(sorted((ROOT / "crds").glob("*.yaml"))))
    (folder / "operator.yaml").write_text(released_chart.plain_manifests(publication))
    _copy_first_job(folder)
    plugin = plugin_archive.archive(version)
    (folder / plugin_archive.archive_name(version)).write_bytes(plugin)
    (folder / "finetune.yaml").write_text(plugin_archive.krew_manifest(publication, plugin))
    for bill in sorted((ROOT / "build" / "sbom").glob("*.cdx.json")):
        shutil.copyfile(bill, folder / bill.name)
    made = provenance.statement(publication, list(folder.iterdir()))
    (folder / provenance.file_name(version)).write_text(made)
    (folder / CHECKSUMS).write_text("".join(checksums(folder)))


def checksums(folder: Path) -> Iterator[str]:
    """The lines for `sha256sum --check`."""
    for file in sorted(folder.iterdir()):
        if file.name != CHECKSUMS:
            yield f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"


def _build_project(project: str, publication: Publication, folder: Path) -> None:
    """A wheel and an sdist of its tracked files, with the URLs of this release."""
    uv = Path(sys.executable).with_name("uv")
    words = [uv, "build", "--no-sources", "--quiet", "--no-create-gitignore"]
    with TemporaryDirectory() as place:
        source = Path(place) / project
        for file in tracked_files():
            if file.is_relative_to(ROOT / project):
                target = source / file.relative_to(ROOT / project)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
        about = source / "pyproject.toml"
        about.write_text(f"{about.read_text()}\n[project.urls]\n{_urls(publication)}")
        command = [*map(str, words), "--out-dir", str(folder), str(source)]
        subprocess.run(command, cwd=ROOT, check=True)


def _urls(publication: Publication) -> str:
    """The repository names no host, so its projects have no URL of their own."""
    return f"Download = {json.dumps(publication.downloads)}\n"


def _copy_first_job(folder: Path) -> None:
    """The job that README applies, and the schemas that editors check jobs with."""
    schemas = CONFIGS / "schemas"
    for schema in sorted(schemas.glob("*.json")):
        shutil.copyfile(schema, folder / schema.name)
    # In a clone, the schema is in another directory.
    text = FIRST_JOB.read_text().replace(f"../{schemas.name}/", "")
    (folder / FIRST_JOB.name).write_text(text)


def _documents(files: list[Path]) -> str:
    return "\n---\n".join(file.read_text().strip() for file in files) + "\n"


def main(version: str, registry: str, downloads: str) -> int:
    publication = Publication(version=version, registry=registry, downloads=downloads)
    if found := list(problems(publication)):
        print("\n".join(found))
        return 1
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    build(publication, FOLDER)
    print((FOLDER / CHECKSUMS).read_text(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
