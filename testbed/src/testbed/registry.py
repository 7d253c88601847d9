# SPDX-License-Identifier: Apache-2.0
"""A real registry of images and charts: go-containerregistry's, alone on 127.0.0.1."""

import hashlib
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed import binaries

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Registry:
    """A running registry."""

    address: str
    """Host and port, the beginning of an image reference."""

    def manifest(self, reference: str) -> dict[str, Any] | None:
        """The manifest of an image or a chart, named as in a cluster; None without one."""
        try:
            with urllib.request.urlopen(self._manifest_of(reference), timeout=_SECONDS) as answer:
                found: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        return found

    def digest(self, reference: str) -> str:
        """The digest of an image or a chart, named as in a cluster."""
        with urllib.request.urlopen(self._manifest_of(reference), timeout=_SECONDS) as answer:
            return _digest(answer.read())

    def config(self, reference: str) -> dict[str, Any]:
        """The config of an image.

        Raises:
            LookupError: there is no such image.
        """
        manifest = self.manifest(reference)
        if manifest is None:
            raise LookupError(f"The registry has no {reference}.")
        repository = reference.removeprefix(f"{self.address}/").rpartition(":")[0]
        digest = manifest["config"]["digest"]
        url = f"http://{self.address}/v2/{repository}/blobs/{digest}"
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def push(self, reference: str, layer: bytes, labels: Mapping[str, str]) -> None:
        """Pushes an image with this single layer, a tar archive, under this reference."""
        repository, _, tag = reference.removeprefix(f"{self.address}/").rpartition(":")
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": dict(labels)},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._upload(repository, json.dumps(config).encode(), _CONFIG),
            "layers": [self._upload(repository, layer, _LAYER)],
        }
        content = json.dumps(manifest).encode()
        self._put(f"/v2/{repository}/manifests/{tag}", content, MANIFEST)

    def _manifest_of(self, reference: str) -> urllib.request.Request:
        repository, _, tag = reference.removeprefix(f"{self.address}/").rpartition(":")
        return urllib.request.Request(
            f"http://{self.address}/v2/{repository}/manifests/{tag}", headers={"Accept": MANIFEST}
        )

    def _upload(self, repository: str, content: bytes, media_type: str) -> dict[str, Any]:
        digest = _digest(content)
        url = f"http://{self.address}/v2/{repository}/blobs/uploads/"
        begun = urllib.request.Request(url, data=b"", method="POST")
        with urllib.request.urlopen(begun, timeout=_SECONDS) as answer:
            place = str(answer.headers["Location"])
        self._put(f"{place}?digest={digest}", content, "application/octet-stream")
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def _put(self, path: str, content: bytes, media_type: str) -> None:
        request = urllib.request.Request(
            f"http://{self.address}{path}",
            data=content,
            headers={"Content-Type": media_type},
            method="PUT",
        )
        with urllib.request.urlopen(request, timeout=_SECONDS):
            pass


@contextmanager
def serving(
    folder: Path, *, entering: Sequence[str] = (), address: str = "127.0.0.1:0"
) -> Iterator[Registry]:
    """A registry until the block ends, with its blobs in this directory.

    `entering` is the beginning of a command that runs it elsewhere, such as in a cluster's network.
    """
    program = binaries.build(binaries.REGISTRY) / "registry"
    folder.mkdir(parents=True, exist_ok=True)
    command = [*entering, str(program), "-address", address, "-folder", str(folder)]
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        listening = process.stdout.readline().strip()
        if not listening:
            raise RuntimeError(f"The registry ended: {(folder / 'registry.log').read_text()}")
        yield Registry(listening)
    finally:
        process.kill()
        process.wait()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
