# SPDX-License-Identifier: Apache-2.0
"""Gives a cluster's container runtime an image without copying it.

The layers are unpacked in the store of images, in the format of containerd's overlayfs snapshots.
So each is registered with containerd as an empty snapshot, and the store's directory is mounted
over it, read-only: a cluster gets an image of many gigabytes in a second, without additional space,
and cannot change it. All other files of containerd belong to the cluster.
"""

import hashlib
import io
import json
import re
import subprocess
import tarfile
import time
from collections.abc import Iterator

from testbed import cache
from testbed.folder import Folder
from testbed.images import BuiltImage, Layer
from testbed.namespaces import Namespaces

_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_CRI_TIMEOUT_SECONDS = 20


class Containerd:
    """The container runtime of one cluster."""

    def __init__(self, folder: Folder, namespaces: Namespaces) -> None:
        self._folder = folder
        self._namespaces = namespaces

    @property
    def is_ready(self) -> bool:
        """Whether it responds, including its Kubernetes part."""
        plugins = subprocess.run(
            self._ctr("plugins", "ls", "id==cri"), capture_output=True, text=True
        )
        return plugins.returncode == 0 and " ok" in plugins.stdout

    def load(self, image: BuiltImage) -> bool:
        """Makes an image usable by pods; False if it already was."""
        with cache.locked(self._folder.path / "load.lock"):
            if self._digest_of(image.tag) == _digest(image.manifest):
                return False
            self._add_layers(image)
            self._run("images", "import", "--no-unpack", "-", stdin=_archive_without_layers(image))
            self._wait_until_known_to_kubernetes(image.tag)
            return True

    def kill(self, container: str) -> None:
        """Kills a container's first process with SIGKILL, as the kernel does when memory runs
        out.
        """
        self._run("tasks", "kill", "--signal", "SIGKILL", container)

    def _add_layers(self, image: BuiltImage) -> None:
        """Creates a snapshot of each layer, then mounts the layers over them.

        In this order, because containerd would measure a full one file by file.
        """
        known = self._known_snapshots()
        mounts = []
        for layer, chain, parent in _chained(image.layers):
            if chain not in known:
                mounts.append((layer.folder, self._add_snapshot(chain, parent)))
        if mounts:
            table = self._folder.path / "layers.fstab"
            lines = (f"{source} {target} none bind,ro 0 0\n" for source, target in mounts)
            table.write_text("".join(lines))
            self._namespaces.run("mount", "--all", "--fstab", table)

    def _add_snapshot(self, chain: str, parent: str | None) -> str:
        """Commits an empty snapshot; returns its directory."""
        key = f"testbed-{chain}"
        described = self._run(
            "snapshots", "prepare", "--mounts", key, *([parent] if parent else [])
        )
        self._run("snapshots", "commit", chain, key)
        return _writable_folder(json.loads(described))

    def _known_snapshots(self) -> set[str]:
        listed = self._run("snapshots", "ls").splitlines()[1:]
        return {line.split()[0] for line in listed if line.strip()}

    def _digest_of(self, tag: str) -> str | None:
        """The digest of the image that pods get under this name."""
        listed = self._run("images", "ls", f"name=={tag}").splitlines()[1:]
        found = [re.search(r"sha256:[0-9a-f]{64}", line) for line in listed]
        return next((match.group() for match in found if match), None)

    def _wait_until_known_to_kubernetes(self, tag: str) -> None:
        deadline = time.monotonic() + _CRI_TIMEOUT_SECONDS
        managed = f'name=={tag},labels."io.cri-containerd.image"==managed'
        while self._run("images", "ls", "--quiet", managed).strip() != tag:
            if time.monotonic() > deadline:
                raise TimeoutError(f"containerd has {tag}, but does not show it to Kubernetes.")
            time.sleep(0.05)

    def _run(self, *arguments: str, stdin: bytes | None = None) -> str:
        done = subprocess.run(self._ctr(*arguments), input=stdin, capture_output=True)
        if done.returncode:
            raise RuntimeError(f"ctr {' '.join(arguments)}: {done.stderr.decode().strip()}")
        return done.stdout.decode()

    def _ctr(self, *arguments: str) -> list[str]:
        socket = str(self._folder.containerd_socket)
        return ["ctr", "--address", socket, "--namespace", "k8s.io", *arguments]


def _chained(layers: tuple[Layer, ...]) -> Iterator[tuple[Layer, str, str | None]]:
    """Each layer with the name of the stack up to it, and that of the stack below it.

    The names are the chain ids of the OCI image specification.
    """
    parent: str | None = None
    for layer in layers:
        chain = layer.digest if parent is None else _digest(f"{parent} {layer.digest}".encode())
        yield layer, chain, parent
        parent = chain


def _writable_folder(mounts: list[dict[str, object]]) -> str:
    """The directory of an active snapshot for its own files."""
    mount = mounts[0]
    options = mount.get("Options") or mount.get("options") or []
    assert isinstance(options, list)
    for option in options:
        if option.startswith("upperdir="):
            return str(option.removeprefix("upperdir="))
    return str(mount.get("Source") or mount.get("source"))


def _archive_without_layers(image: BuiltImage) -> bytes:
    """An OCI archive of the image's manifest and config."""
    descriptor = {
        "mediaType": _MANIFEST_TYPE,
        "digest": _digest(image.manifest),
        "size": len(image.manifest),
        "annotations": {"io.containerd.image.name": image.tag},
    }
    files = {
        "oci-layout": json.dumps({"imageLayoutVersion": "1.0.0"}).encode(),
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [descriptor]}).encode(),
        _blob(image.manifest): image.manifest,
        _blob(image.config): image.config,
    }
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def _blob(content: bytes) -> str:
    return f"blobs/{_digest(content).replace(':', '/')}"


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
