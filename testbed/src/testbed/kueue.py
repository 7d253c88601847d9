# SPDX-License-Identifier: Apache-2.0
"""Installs Kueue in a cluster from its own manifests; its image is built from its Go module."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from testbed import binaries, images
from testbed.cluster import Cluster

IMAGE = "localhost/kueue:0.15.0"


@contextmanager
def installed(cluster: Cluster) -> Iterator[None]:
    """For the duration of a block, at whose end no queue may remain."""
    images.build_program(binaries.KUEUE, IMAGE)
    cluster.load(IMAGE)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kueue.yaml"
        file.write_text(yaml.dump_all(_manifests(cluster), Dumper=yaml.CSafeDumper))
        try:
            cluster.install(file)
            yield
        finally:
            cluster.kubectl("delete", "--ignore-not-found", "--filename", file)


def _manifests(cluster: Cluster) -> list[dict[str, Any]]:
    folder = binaries.sources_of("sigs.k8s.io/kueue", binaries.KUEUE) / "config" / "default"
    found = yaml.load_all(cluster.kubectl("kustomize", folder), Loader=yaml.CSafeLoader)
    return [_with_our_image(manifest) for manifest in found]


def _with_our_image(manifest: dict[str, Any]) -> dict[str, Any]:
    """Its Deployment requests more than the node has, and an image from a registry."""
    if manifest["kind"] == "Deployment":
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        container |= {"image": IMAGE, "imagePullPolicy": "Never", "command": ["/kueue"]}
        container["securityContext"] |= {"runAsUser": 65532}
        del container["resources"]
    return manifest
