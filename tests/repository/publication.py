# SPDX-License-Identifier: Apache-2.0
"""The names and locations of a release, checked before anything is written.

The repository names no registry and no host, so `make release` gets both as arguments.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from repository.tracked import ROOT

CHART = ROOT / "charts" / "finetune-operator"

_REGISTRY = re.compile(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
"""Host and port, then the path: the part of an image reference before its name."""
_URL = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """The names of one release."""

    version: str
    registry: str
    """The registry for its images, such as registry.example.com/ml."""
    downloads: str
    """URL of the directory with its files, such as https://example.com/releases/v1."""

    def url(self, file: str) -> str:
        return f"{self.downloads.rstrip('/')}/{file}"


def repository_version() -> str:
    """The version of this repository; tests check that all of its parts have it."""
    return str(yaml.safe_load((CHART / "Chart.yaml").read_text())["version"])


def problems(publication: Publication) -> Iterator[str]:
    """Why a release cannot be made under these names."""
    if publication.version != repository_version():
        yield (
            f"VERSION is {publication.version or 'not set'}, but this repository has version "
            f"{repository_version()}: run make version VERSION=... to change it, then make check"
        )
    if not _REGISTRY.fullmatch(publication.registry):
        yield (
            f"REGISTRY is {publication.registry or 'not set'}: name the host and path that the "
            "images of this release are pushed to, without a scheme, tag or slash at the end, "
            "such as registry.example.com/ml"
        )
    if not _URL.fullmatch(publication.downloads):
        yield (
            f"DOWNLOADS is {publication.downloads or 'not set'}: name the URL of the directory "
            "that the files of this release are downloaded from, such as "
            f"https://example.com/releases/v{repository_version()}"
        )
