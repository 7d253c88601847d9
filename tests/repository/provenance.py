# SPDX-License-Identifier: Apache-2.0
"""The provenance of a release's files: an in-toto statement with SLSA's provenance predicate.

It is created on the machine that built the files and is not signed: a maintainer signs it, as
docs/contributing/releasing.md describes. It contains no time, so that the same sources give the
same bytes.
"""

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from repository.publication import Publication
from repository.tracked import ROOT

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://finetune.dev/make-release/v1"
"""A name, not a URL: docs/contributing/releasing.md describes what `make release` does."""


def file_name(version: str) -> str:
    return f"finetune-operator-{version}.intoto.json"


def statement(publication: Publication, files: Sequence[Path]) -> str:
    """The built files, their sources and the build."""
    subject = [{"name": file.name, "digest": _sha256(file)} for file in sorted(files)]
    definition = {
        "buildType": BUILD_TYPE,
        "externalParameters": {
            "VERSION": publication.version,
            "REGISTRY": publication.registry,
            "DOWNLOADS": publication.downloads,
        },
        "internalParameters": {"python": platform.python_version()},
        "resolvedDependencies": [_sources(), *_locks()],
    }
    made = {
        "_type": STATEMENT,
        "subject": subject,
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": definition,
            "runDetails": {"builder": {"id": BUILD_TYPE}},
        },
    }
    return json.dumps(made, indent=2) + "\n"


def _sources() -> Mapping[str, Any]:
    """The commit, and whether files differ from it: then the commit alone does not produce
    these.
    """
    commit = _git("rev-parse", "HEAD").strip()
    changed = bool(_git("status", "--porcelain").strip())
    return {"name": "sources", "digest": {"gitCommit": commit}, "annotations": {"changed": changed}}


def _locks() -> Iterator[Mapping[str, Any]]:
    """The packages that the build and the images install, by hash."""
    for file in sorted((ROOT / "requirements").glob("*.txt")):
        yield {"name": file.relative_to(ROOT).as_posix(), "digest": _sha256(file)}


def _sha256(file: Path) -> dict[str, str]:
    return {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout
