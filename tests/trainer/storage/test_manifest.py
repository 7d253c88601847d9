# SPDX-License-Identifier: Apache-2.0
"""Manifests: verified byte for byte."""

import pytest

from finetune_contract.documents import InvalidDocument
from finetune_trainer.storage.manifest import ArtifactManifest, File

A = File(path="adapter/a", size=1, sha256="aa")
B = File(path="adapter/b", size=2, sha256="bb")


def test_a_manifest_is_read_back_unchanged() -> None:
    manifest = ArtifactManifest(files=(A, B), facts={"step": 4})

    assert ArtifactManifest.from_json(manifest.to_json()) == manifest


def test_the_digest_does_not_depend_on_the_order_of_upload() -> None:
    assert ArtifactManifest(files=(A, B)).digest == ArtifactManifest(files=(B, A)).digest
    assert ArtifactManifest(files=(A,)).digest != ArtifactManifest(files=(B,)).digest


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        pytest.param({"adapter/a": 1, "adapter/b": 2, "more": 9}, True, id="all there"),
        pytest.param({"adapter/a": 1}, False, id="one missing"),
        pytest.param({"adapter/a": 1, "adapter/b": 1}, False, id="one cut short"),
    ],
)
def test_a_manifest_is_complete_if_every_file_has_its_size(
    sizes: dict[str, int], expected: bool
) -> None:
    assert ArtifactManifest(files=(A, B)).is_complete(sizes) is expected


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 2}', '{"version": 1, "files": [1]}'])
def test_an_invalid_manifest_is_refused(text: str) -> None:
    with pytest.raises(InvalidDocument):
        ArtifactManifest.from_json(text)


@pytest.mark.parametrize("path", ["/etc/passwd", "../other", "adapter/../../other"])
def test_a_manifest_cannot_contain_a_path_outside_its_directory(path: str) -> None:
    text = ArtifactManifest(files=(File(path=path, size=1, sha256="aa"),)).to_json()

    with pytest.raises(InvalidDocument, match="expected one below it"):
        ArtifactManifest.from_json(text)
