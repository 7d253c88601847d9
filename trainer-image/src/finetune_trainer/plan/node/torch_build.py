# SPDX-License-Identifier: Apache-2.0
"""The GPUs that the installed torch was built for, read from its files without importing it."""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

_ASSIGNED = re.compile(
    r"^(cuda|hip)\s*(?::[^=]*)?=\s*(?:'([^']*)'|\"([^\"]*)\"|None)", re.MULTILINE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchBuild:
    """The target of torch's build; neither for a build for CPUs."""

    cuda: tuple[int, int] | None = None
    """The version of CUDA."""
    hip: str | None = None
    """The version of ROCm's HIP."""


def find_torch_build() -> TorchBuild:
    """The installed build; one for CPUs if there is no torch."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return TorchBuild()
    return parse_torch_build(Path(spec.origin).with_name("version.py").read_text())


def parse_torch_build(text: str) -> TorchBuild:
    """The build that torch's `version.py` describes."""
    found = {name: single or double or None for name, single, double in _ASSIGNED.findall(text)}
    cuda = found.get("cuda")
    numbers = [int(part) for part in (cuda or "").split(".")[:2] if part.isdecimal()]
    return TorchBuild(
        cuda=(numbers[0], numbers[1] if len(numbers) > 1 else 0) if numbers else None,
        hip=found.get("hip"),
    )
