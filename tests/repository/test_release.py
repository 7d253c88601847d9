# SPDX-License-Identifier: Apache-2.0
"""`make release`: the files that somebody without a clone installs."""

import hashlib
import io
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import yaml

from repository import release
from testbed import helm


def test_another_version_than_the_repositorys_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(release, "FOLDER", tmp_path / "release")

    assert release.main("99.0.0") == 1
    assert release.main("") == 1

    printed = capsys.readouterr().out
    assert f"VERSION is 99.0.0, but this repository has version {release.version()}" in printed
    assert "VERSION is not set" in printed
    assert not release.FOLDER.exists()


def test_the_charts_archive_has_every_file_of_the_chart_and_no_time() -> None:
    content = release.chart_archive()

    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        entries = archive.getmembers()
    names = {entry.name for entry in entries}
    assert {"finetune-operator/Chart.yaml", "finetune-operator/values.yaml"} <= names
    assert "finetune-operator/files/crds/finetunejobs.yaml" in names
    assert {entry.mtime for entry in entries} == {0}
    assert content == release.chart_archive()


def test_helm_renders_the_archive_as_it_renders_the_chart(tmp_path: Path) -> None:
    archive = tmp_path / f"finetune-operator-{release.version()}.tgz"
    archive.write_bytes(release.chart_archive())

    assert helm.run("template", "it", archive) == helm.run("template", "it", release.CHART)


@pytest.mark.slow
def test_a_release_has_wheels_chart_manifests_and_checksums_and_twice_the_same_bytes(
    tmp_path: Path,
) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        release.build(folder)
    first, second = ({file.name: file.read_bytes() for file in it.iterdir()} for it in folders)

    assert first == second
    assert len([name for name in first if name.endswith(".whl")]) == len(release.PROJECTS)
    for line in first["SHA256SUMS"].decode().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256(first[name]).hexdigest() == digest
    documents = yaml.safe_load_all(first["operator.yaml"])
    kinds = [document["kind"] for document in documents if document]
    assert kinds[0] == "Namespace"
    assert {"Deployment", "Service"} <= set(kinds)


@pytest.mark.slow
def test_a_wheel_says_what_it_is_and_has_the_licence_in_it(tmp_path: Path) -> None:
    release.build(tmp_path)

    for wheel in tmp_path.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            (about,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
            facts = Parser().parsestr(archive.read(about).decode())
            licence = archive.read(about.replace("METADATA", "licenses/LICENSE"))
        assert facts["Version"] == release.version()
        assert facts["License-Expression"] == "Apache-2.0"
        assert facts.get_payload().startswith("# finetune-")
        assert licence == (release.ROOT / "LICENSE").read_bytes()
