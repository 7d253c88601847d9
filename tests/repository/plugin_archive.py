# SPDX-License-Identifier: Apache-2.0
"""`kubectl finetune` as one file for a bare python3, and its krew manifest.

The file is a zip of our sources and of the pure Python of three pinned packages. The same sources
give the same bytes. It has no native code and no clients of stores and hubs: commands that need
those report it.
"""

import hashlib
import io
import re
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import yaml

from repository.archives import tar_gz
from repository.locks import pinned
from repository.publication import Publication
from repository.tracked import ROOT, tracked_files

PROGRAM = "kubectl-finetune"
OURS = ("contract", "job-spec", "trainer-image", "command-line")
LEFT_OUT = ("finetune_trainer/ranks/", "finetune_trainer/publication/report/")
"""Training and report code: neither runs without packages of the image."""
LICENCES = ("LICENSE", "NOTICE")
LOCK = ROOT / "requirements" / "dev.txt"

_SHEBANG = b"#!/usr/bin/env python3\n"
_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""A zip cannot store an earlier time."""


def program(version: str) -> bytes:
    """The executable file."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted(_contents(version).items()):
            entry = zipfile.ZipInfo(name, _EARLIEST)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, content)
    return _SHEBANG + packed.getvalue()


def archive(version: str) -> bytes:
    """The download for krew: the program and its licences."""
    files = {name: (ROOT / name).read_bytes() for name in LICENCES}
    return tar_gz({PROGRAM: program(version)} | files, executable=PROGRAM)


def archive_name(version: str) -> str:
    return f"{PROGRAM}-{version}.tar.gz"


def krew_manifest(publication: Publication, archive: bytes) -> str:
    """For `kubectl krew install --manifest-url`, or an index."""
    version = publication.version
    systems = [{"key": "os", "operator": "In", "values": ["darwin", "linux"]}]
    platform = {
        "selector": {"matchExpressions": systems},
        "uri": publication.url(archive_name(version)),
        "sha256": hashlib.sha256(archive).hexdigest(),
        "bin": PROGRAM,
    }
    manifest = {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": PROGRAM.removeprefix("kubectl-")},
        "spec": {
            "version": f"v{version}",
            "shortDescription": "Run and watch fine-tuning jobs",
            "description": "Runs, watches, plots, compares and stops FineTuneJobs.\n",
            "caveats": "It needs Python 3.11 or newer as python3.\n",
            "platforms": [platform],
        },
    }
    return yaml.safe_dump(manifest, sort_keys=False)


def _contents(version: str) -> dict[str, bytes]:
    about = f"Metadata-Version: 2.1\nName: finetune-cli\nVersion: {version}\n"
    return {
        "__main__.py": Path(__file__).with_name("plugin_main.py").read_bytes(),
        # `--version` reads it.
        f"finetune_cli-{version}.dist-info/METADATA": about.encode(),
        **{name: (ROOT / name).read_bytes() for name in LICENCES},
        **dict(_our_files()),
        **{name: content for pin in _pins() for name, content in _files_of(*pin)},
    }


def _our_files() -> Iterator[tuple[str, bytes]]:
    sources = [ROOT / project / "src" for project in OURS]
    for file in tracked_files():
        for source in sources:
            if file.is_relative_to(source):
                name = file.relative_to(source).as_posix()
                if not name.startswith(LEFT_OUT):
                    yield name, file.read_bytes()


def _pins() -> Iterator[tuple[str, str]]:
    """The third-party packages of the command line, with the versions of the lock."""
    declared = tomllib.loads((ROOT / "command-line" / "pyproject.toml").read_text())["project"]
    locked = pinned(LOCK)
    for need in declared["dependencies"]:
        name = re.split(r"[=<>~!]", need)[0]
        if not name.startswith("finetune-"):
            yield name, locked[name]


def _files_of(name: str, version: str) -> Iterator[tuple[str, bytes]]:
    """The Python of an installed package, and its licence.

    Raises:
        RuntimeError: another version of it is installed.
    """
    found = distribution(name)
    if found.version != version:
        raise RuntimeError(
            f"{name} {found.version} is installed, but {LOCK.relative_to(ROOT)} pins {version}: "
            "run make setup"
        )
    for file in found.files or ():
        content = Path(str(file.locate()))
        if file.suffix == ".py" and ".." not in file.parts:
            yield file.as_posix(), content.read_bytes()
        elif re.match(r"LICEN[CS]E", file.name):
            yield f"licenses/{name}-{version}/{file.name}", content.read_bytes()
