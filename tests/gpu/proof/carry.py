# SPDX-License-Identifier: Apache-2.0
"""Packs the input of the eight minutes into one file, for a machine with only a GPU and torch.

    python -m gpu.proof.carry build/gpu-bundle.tar.gz

There: `tar xf gpu-bundle.tar.gz && ./run`. Its Python must have the version of this one, because
  some packages are compiled; torch and its dependencies are the machine's own.
"""

import sys
import tarfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from testbed import base_model

ROOT = Path(__file__).resolve().parents[3]
SOURCES = ("contract/src", "job-spec/src", "trainer-image/src", "tests/gpu", "tests/benchmarks")
PROJECT = "finetune-trainer"
EXTRA = "train"
OURS = {PROJECT, "finetune-contract", "finetune-spec"}
MACHINES_OWN = "torch"

_RUN = """#!/bin/sh
cd "$(dirname "$0")"
for part in contract/src job-spec/src trainer-image/src tests packages; do
  PYTHONPATH="$PWD/$part:$PYTHONPATH"
done
export PYTHONPATH
exec python3 -m gpu.proof --tokenizer tokenizer --rows rows.json "$@"
"""


def packages() -> set[str]:
    """The trainer's packages and their dependencies, without torch and its dependencies."""
    return (
        _closure(PROJECT) - _closure(MACHINES_OWN) - {PROJECT, "finetune-contract", "finetune-spec"}
    )


def _closure(package: str) -> set[str]:
    names, waiting = set[str](), [package]
    while waiting:
        name = waiting.pop()
        if name not in names:
            names.add(name)
            waiting.extend(_needed_by(name))
    return names


def _needed_by(package: str) -> Iterator[str]:
    try:
        requirements = metadata.requires(package) or ()
    except metadata.PackageNotFoundError:
        return  # For another system.
    where = {"extra": EXTRA if package == PROJECT else ""}
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or requirement.marker.evaluate(where):
            yield requirement.name.lower().replace("_", "-")


def pack(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    run = target.with_suffix(".run")
    run.write_text(_RUN)
    run.chmod(0o755)
    with tarfile.open(target, "w:gz", compresslevel=1) as bundle:
        bundle.add(run, "run")
        for source in SOURCES:
            bundle.add(ROOT / source, source, filter=_without_bytecode)
        for file in base_model.folder().iterdir():
            if file.suffix != ".safetensors":
                bundle.add(file, f"tokenizer/{file.name}")
        for name in sorted(packages()):
            for part in metadata.files(name) or ():
                if ".." not in part.parts and part.suffix != ".pyc":
                    bundle.add(part.locate(), f"packages/{part}")
    run.unlink()


def _without_bytecode(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in entry.name else entry


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
