# SPDX-License-Identifier: Apache-2.0
"""`make release`: the files for users without a clone."""

import hashlib
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import pytest
import yaml

from repository import plugin_archive, provenance, release, released_chart
from repository.publication import CHART, Publication, problems, repository_version
from repository.tracked import ROOT
from testbed import helm, images

VERSION = repository_version()
REGISTRY = "registry.example.com:5000/ml"
DOWNLOADS = "https://example.com/releases/v0"
PUBLICATION = Publication(version=VERSION, registry=REGISTRY, downloads=DOWNLOADS)

_VERSION_IN_A_NAME = re.compile(r"-v?(\d+\.\d+\.\d+)(?=[.-])")


def test_a_version_other_than_the_repositorys_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(release, "FOLDER", tmp_path / "release")

    assert release.main("99.0.0", REGISTRY, DOWNLOADS) == 1
    assert release.main("", REGISTRY, DOWNLOADS) == 1

    printed = capsys.readouterr().out
    assert f"VERSION is 99.0.0, but this repository has version {VERSION}" in printed
    assert "VERSION is not set" in printed
    assert not release.FOLDER.exists()


@pytest.mark.parametrize(
    ("registry", "downloads", "refused"),
    [
        pytest.param("", DOWNLOADS, "REGISTRY is not set: ", id="no registry"),
        pytest.param("https://registry.example.com", DOWNLOADS, "REGISTRY is https:", id="scheme"),
        pytest.param("registry.example.com/ml/", DOWNLOADS, "REGISTRY is ", id="slash at the end"),
        pytest.param("registry.example.com/ml:1", DOWNLOADS, "REGISTRY is ", id="a tag"),
        pytest.param("registry.example.com/ML", DOWNLOADS, "REGISTRY is ", id="capitals"),
        pytest.param(REGISTRY, "", "DOWNLOADS is not set: ", id="no downloads"),
        pytest.param(REGISTRY, "example.com/v1", "DOWNLOADS is example.com/v1: ", id="no scheme"),
    ],
)
def test_a_release_without_a_location_for_images_and_files_is_refused(
    registry: str, downloads: str, refused: str
) -> None:
    (told,) = problems(Publication(version=VERSION, registry=registry, downloads=downloads))

    assert told.startswith(refused)
    assert "such as " in told


@pytest.mark.parametrize(
    "registry", ["registry.example.com", "127.0.0.1:5000/ml", "localhost:5000", "r.io/a/b-c__d"]
)
def test_registries_of_every_form_are_accepted(registry: str) -> None:
    publication = Publication(version=VERSION, registry=registry, downloads=DOWNLOADS)

    assert list(problems(publication)) == []


def test_the_charts_archive_has_every_file_of_the_chart_and_no_timestamps() -> None:
    content = released_chart.chart_archive(PUBLICATION)

    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        entries = archive.getmembers()
    names = {entry.name for entry in entries}
    assert {"finetune-operator/Chart.yaml", "finetune-operator/values.yaml"} <= names
    assert "finetune-operator/files/crds/finetunejobs.yaml" in names
    assert {entry.mtime for entry in entries} == {0}
    assert content == released_chart.chart_archive(PUBLICATION)


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """The chart of a release, as a file."""
    archive = tmp_path / f"finetune-operator-{VERSION}.tgz"
    archive.write_bytes(released_chart.chart_archive(PUBLICATION))
    return archive


WAYS = {
    "no values": (),
    "a results page": ("--set", "resultsPage.enabled=true"),
    "one namespace": ("--set", "watchNamespaces={a},crds.install=false"),
}


@pytest.mark.parametrize("values", WAYS.values(), ids=WAYS)
def test_the_released_chart_differs_from_the_repositorys_only_in_its_images(
    chart: Path, values: tuple[str, ...]
) -> None:
    rendered = helm.run("template", "it", CHART, *values)
    for name, released in released_chart.image_names(PUBLICATION).items():
        rendered = rendered.replace(name, released)

    assert helm.run("template", "it", chart, *values) == rendered
    assert "localhost/" not in rendered


def test_values_override_the_released_images_as_in_a_clone(chart: Path) -> None:
    digest = f"sha256:{4:064}"
    values = ("image.tag=mine", "trainer.image=mine:3", f"image.digest={digest}")
    chosen = [word for value in values for word in ("--set", value)]

    rendered = helm.run("template", "it", chart, *chosen)

    assert f"image: {REGISTRY}/finetune-operator@{digest}" in rendered
    assert 'value: "mine:3"' in rendered


def test_the_released_charts_readme_names_its_images(chart: Path) -> None:
    with tarfile.open(chart) as archive:
        readme = archive.extractfile("finetune-operator/README.md")
        assert readme is not None
        text = readme.read().decode()

    assert f"| `image.repository` | `{REGISTRY}/finetune-operator` |" in text
    assert f"| `trainer.image` | `{REGISTRY}/finetune-trainer:{VERSION}` |" in text
    assert "localhost/" not in text


@pytest.mark.parametrize(
    "values",
    [
        pytest.param("image: {repository: localhost/finetune-operator, tag: dev}\n", id="one line"),
        pytest.param("extra:\n  - localhost/finetune-trainer:dev\n", id="in a list"),
        pytest.param("image:\n  repository: localhost/finetune-operator\n  tag: v1\n", id="a tag"),
    ],
)
def test_an_image_in_an_unknown_form_aborts_the_release(values: str) -> None:
    with pytest.raises(RuntimeError, match="unknown form"):
        released_chart.released_values(values, PUBLICATION)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete release."""
    folder = tmp_path_factory.mktemp("release")
    release.build(PUBLICATION, folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.slow
def test_a_release_has_wheels_chart_manifests_and_checksums_and_is_reproducible(
    tmp_path: Path, built: Path
) -> None:
    release.build(PUBLICATION, tmp_path)
    first, second = contents(built), contents(tmp_path)

    assert first == second
    assert len([name for name in first if name.endswith(".whl")]) == len(release.PROJECTS)
    summed = set()
    for line in first["SHA256SUMS"].decode().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256(first[name]).hexdigest() == digest
        summed.add(name)
    assert first.keys() - summed == {"SHA256SUMS"}
    documents = yaml.safe_load_all(first["operator.yaml"])
    kinds = [document["kind"] for document in documents if document]
    assert kinds[0] == "Namespace"
    assert {"Deployment", "Service"} <= set(kinds)


@pytest.mark.slow
def test_a_release_has_the_first_job_and_the_schema_that_it_names(built: Path) -> None:
    text = (built / "first-job.yaml").read_text()
    (schema,) = re.findall(r"\$schema=(\S+)", text)

    assert yaml.safe_load(text) == yaml.safe_load(release.FIRST_JOB.read_text())
    assert json.loads((built / schema).read_text())["title"] == "FineTuneJob"
    assert (built / "sft-config.schema.json").is_file()


@pytest.mark.slow
def test_a_wheel_contains_its_description_licence_and_url(built: Path) -> None:
    for wheel in built.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            (about,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
            facts = Parser().parsestr(archive.read(about).decode())
            licence = archive.read(about.replace("METADATA", "licenses/LICENSE"))
        assert facts["Version"] == VERSION
        assert facts["License-Expression"] == "Apache-2.0"
        assert facts["Project-URL"] == f"Download, {DOWNLOADS}"
        assert str(facts.get_payload()).startswith("# finetune-")
        assert licence == (ROOT / "LICENSE").read_bytes()


@pytest.mark.slow
def test_every_file_of_a_release_names_only_its_version(built: Path) -> None:
    found = {name: set(named) for name, named in versions_of(built).items()}

    assert {name: named for name, named in found.items() if named != {VERSION}} == {}
    expected = {"Chart.yaml", "rendered chart", "operator.yaml", "finetune.yaml", "provenance"}
    assert expected <= found.keys()
    assert {f"finetune_cli-{VERSION}.tar.gz", f"kubectl-finetune-{VERSION}.tar.gz"} <= found.keys()


def versions_of(folder: Path) -> dict[str, list[str]]:
    """The version in each file, by its name or its text."""
    found = {
        file.name: [named[1]]
        for file in folder.iterdir()
        if (named := _VERSION_IN_A_NAME.search(file.name))
    }
    (chart,) = folder.glob("finetune-operator-*.tgz")
    about = yaml.safe_load(helm.run("show", "chart", chart))
    found["Chart.yaml"] = [about["version"], about["appVersion"]]
    found["rendered chart"] = list(
        _tags(helm.run("template", "it", chart, *WAYS["a results page"]))
    )
    found["operator.yaml"] = list(_tags((folder / "operator.yaml").read_text()))
    krew = yaml.safe_load((folder / "finetune.yaml").read_text())["spec"]
    files = [platform["uri"].rpartition("/")[2] for platform in krew["platforms"]]
    found["finetune.yaml"] = [krew["version"].removeprefix("v")]
    found["finetune.yaml"] += [
        named[1] for it in files for named in _VERSION_IN_A_NAME.finditer(it)
    ]
    made = json.loads((folder / provenance.file_name(VERSION)).read_text())["predicate"]
    found["provenance"] = [made["buildDefinition"]["externalParameters"]["VERSION"]]
    for bill in folder.glob("*.cdx.json"):
        found[bill.name] = [json.loads(bill.read_text())["metadata"]["component"]["version"]]
    return found


def _tags(manifests: str) -> Iterator[str]:
    """The tags of our images, and the label with the version."""
    yield from re.findall(r'app\.kubernetes\.io/version: "([^"]+)"', manifests)
    tags = re.findall(r"[^\s\"]+/finetune-[a-z-]+:([^\s\"]+)", manifests)
    assert tags, "no image is named"
    yield from tags


@pytest.mark.slow
def test_the_provenance_names_every_file_with_its_digest_and_the_commit(built: Path) -> None:
    made = json.loads((built / provenance.file_name(VERSION)).read_text())
    subjects = {it["name"]: it["digest"]["sha256"] for it in made["subject"]}
    sources = made["predicate"]["buildDefinition"]["resolvedDependencies"][0]

    assert subjects == {
        name: hashlib.sha256(content).hexdigest()
        for name, content in contents(built).items()
        if name not in ("SHA256SUMS", provenance.file_name(VERSION))
    }
    assert made["_type"] == "https://in-toto.io/Statement/v1"
    assert made["predicateType"] == "https://slsa.dev/provenance/v1"
    assert re.fullmatch(r"[0-9a-f]{40}", sources["digest"]["gitCommit"])


@pytest.mark.slow
def test_the_krew_manifest_links_to_the_archive(built: Path) -> None:
    manifest = yaml.safe_load((built / "finetune.yaml").read_text())
    (platform,) = manifest["spec"]["platforms"]
    file = built / platform["uri"].rpartition("/")[2]

    assert platform["uri"] == f"{DOWNLOADS}/{file.name}"
    assert platform["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    with tarfile.open(file) as archive:
        assert platform["bin"] in archive.getnames()
    # krew requires that the file has the plugin's name.
    assert manifest["metadata"]["name"] == "finetune"
    assert platform["bin"] == plugin_archive.PROGRAM
    assert manifest["spec"].keys() >= {"version", "shortDescription"}


def test_every_image_of_this_repository_has_a_name_in_a_release() -> None:
    names = released_chart.image_names(PUBLICATION)

    assert names.keys() == {image.tag for image in images.OURS.values()}
    assert names["localhost/finetune-trainer:dev"] == f"{REGISTRY}/finetune-trainer:{VERSION}"
