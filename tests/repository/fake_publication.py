# SPDX-License-Identifier: Apache-2.0
"""A release in a registry on 127.0.0.1: its real chart, and fake images of a few bytes.

tests/cluster/test_published_release.py installs the real images.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from repository import released_chart
from repository.archives import tar_gz
from repository.publication import Publication, repository_version
from testbed import helm, registry
from testbed.registry import Registry

VERSION = repository_version()
LABEL = "org.opencontainers.image.version"


@dataclass(frozen=True)
class Published:
    """A release at its published location."""

    registry: Registry
    publication: Publication

    @property
    def chart(self) -> str:
        return f"oci://{self.publication.registry}/charts/finetune-operator"

    def helm(self, *words: str) -> str:
        return helm.run(*words, "--plain-http", "--version", VERSION)


@contextmanager
def publish(folder: Path) -> Iterator[Published]:
    """The release until the block ends, with the registry's files in this directory."""
    with registry.serving(folder / "blobs") as started:
        publication = Publication(
            version=VERSION,
            registry=f"{started.address}/ml",
            downloads="https://example.com/releases/v0",
        )
        for reference in released_chart.image_names(publication).values():
            started.push(reference, tar_gz({"stand-in": b""}), {LABEL: VERSION})
        chart = folder / f"finetune-operator-{VERSION}.tgz"
        chart.write_bytes(released_chart.chart_archive(publication))
        helm.run("push", chart, f"oci://{publication.registry}/charts", "--plain-http")
        yield Published(started, publication)
