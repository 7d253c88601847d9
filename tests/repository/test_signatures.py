# SPDX-License-Identifier: Apache-2.0
"""A release's signatures, made and verified by a real cosign with the commands of releasing.md.

Sigstore's public log is not in reach: both sides leave it out, with options that the page names.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from repository import release
from repository.archives import tar_gz
from repository.fake_publication import VERSION, Published, publish
from repository.tracked import ROOT
from support import guide
from testbed import binaries

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("go") is None, reason="cosign is built from Go modules."),
]

PAGE = ROOT / "docs" / "contributing" / "releasing.md"
IN_PAGE = "registry.example.com/ml"
WITHOUT_LOG = {
    "cosign sign-blob": "cosign sign-blob --yes --tlog-upload=false",
    "cosign sign ": "cosign sign --yes --tlog-upload=false ",
    "cosign verify-blob": "cosign verify-blob --insecure-ignore-tlog",
    "cosign verify ": "cosign verify --insecure-ignore-tlog ",
}


@dataclass(frozen=True)
class Signed:
    """A release whose maintainer has followed the page; its files are in build/release."""

    published: Published
    folder: Path
    signing: tuple[str, ...]
    verifying: tuple[str, ...]

    @property
    def files(self) -> Path:
        return self.folder / "build" / "release"

    def type(self, command: str, folder: Path) -> "subprocess.CompletedProcess[str]":
        """Runs a command of the page in this directory, with this registry and its digests."""
        registry = self.published.publication.registry
        command = guide.typed(command, {IN_PAGE: registry, **WITHOUT_LOG})
        name, mark, _ = command.rpartition("@sha256:DIGEST")
        if mark:
            image = name.split()[-1]
            command = f"{name}@{self.published.registry.digest(f'{image}:{VERSION}')}"
        tools = binaries.build(binaries.COSIGN)
        environment = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "COSIGN_PASSWORD": "",
        }
        return subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
        )


@pytest.fixture
def signed(tmp_path: Path) -> Iterator[Signed]:
    blocks = guide.blocks_of(guide.section_of(PAGE.read_text(), "Sign and verify"), without=())
    signing, verifying = (tuple(block.splitlines()) for block in blocks)
    with publish(tmp_path) as published:
        it = Signed(published, tmp_path, signing, verifying)
        it.files.mkdir(parents=True)
        (it.files / "crds.yaml").write_text("kind: CustomResourceDefinition\n")
        (it.files / release.CHECKSUMS).write_text("".join(release.checksums(it.files)))
        for command in ("cosign generate-key-pair", *signing):
            done = it.type(command, tmp_path)
            assert done.returncode == 0, f"{command}\n{done.stderr}"
        for name in ("SHA256SUMS.bundle", "cosign.pub"):
            shutil.move(tmp_path / name, it.files)
        yield it


def test_users_verify_files_image_and_chart_with_the_pages_commands(signed: Signed) -> None:
    assert [command.split()[0] for command in signed.verifying] == [
        *("cosign", "sha256sum", "cosign", "cosign"),
    ]
    for command in signed.verifying:
        done = signed.type(command, signed.files)
        assert done.returncode == 0, f"{command}\n{done.stderr}"


def test_an_altered_file_another_image_and_another_key_are_rejected(signed: Signed) -> None:
    checksums, files, image, chart = signed.verifying
    (signed.files / "crds.yaml").write_text("kind: Deployment\n")
    assert signed.type(files, signed.files).returncode != 0

    (signed.files / release.CHECKSUMS).write_text("".join(release.checksums(signed.files)))
    assert "invalid signature" in signed.type(checksums, signed.files).stderr

    reference = f"{signed.published.publication.registry}/finetune-operator:{VERSION}"
    signed.published.registry.push(reference, tar_gz({"stand-in": b"altered"}), {})
    assert "no signatures found" in signed.type(image, signed.files).stderr

    other = signed.folder / "other"
    other.mkdir()
    assert signed.type("cosign generate-key-pair", other).returncode == 0
    assert signed.type(chart, other).returncode != 0
