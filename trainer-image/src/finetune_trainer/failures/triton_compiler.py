# SPDX-License-Identifier: Apache-2.0
"""Whether this image can compile the C file that Triton needs before its first kernel runs.

On a GPU TRL's loss is always a Triton kernel. Triton compiles kernels by itself, but first one C
file, its driver, for which it needs a C compiler and Python's headers.
"""

import re
import shutil
import sysconfig
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from finetune_contract.outcome import Failure
from finetune_contract.reasons import Reason
from finetune_spec.config import SftConfig
from finetune_trainer.failures.errors import Stage, attempt_failed

REMEDY = "set spec.image to an image with gcc and Python's headers, or unset it"

_COMPILERS = ("gcc", "clang")
"""The compilers that Triton tries if CC is not set; it does not try `cc`."""
_HEADER_PATHS = ("CPATH", "C_INCLUDE_PATH")
"""Variables that add header directories to a compiler."""

_KNOWN_ERRORS = {
    r"Failed to find C compiler": "Triton found no C compiler in this image",
    # Its driver, and the one other C file of earlier releases. The compiler's error is in the log.
    r"(cuda_utils|__triton_launcher)\.c\b.*returned non-zero exit status": (
        "Triton's driver does not compile in this image; Python.h may be missing"
    ),
    r"No working C\+\+ compiler found": "torch.compile found no C++ compiler in this image",
}


def require_triton_compiler(
    config: SftConfig,
    environment: Mapping[str, str],
    *,
    on_gpu: bool,
    include: Path | None = None,
) -> None:
    """
    Raises:
        AttemptFailed: the first step would fail without a compiler, or without Python.h.
    """
    # Without Triton, TRL computes its loss with torch alone.
    if not on_gpu or find_spec("triton") is None:
        return
    block = {str(name): str(value) for name, value in config.variables.items()}
    variables = {**environment, **block}
    missing = _missing(variables, include or _include_folder())
    if missing:
        raise attempt_failed(
            Reason.COMPILER_MISSING,
            "on a GPU TRL computes the loss with a Triton kernel, and Triton compiles its "
            "driver before its first kernel; this trainer image has no "
            f"{' and no '.join(missing)}",
            REMEDY,
        )


def failure_in(text: str, stage: Stage) -> Failure | None:
    """The failure behind an error of Triton or torch about a missing compiler."""
    for trace, problem in _KNOWN_ERRORS.items():
        if re.search(trace, text):
            return Reason.COMPILER_MISSING.failure(f"while {stage.value}: {problem}", REMEDY)
    return None


def _missing(variables: Mapping[str, str], include: Path) -> list[str]:
    missing = []
    chosen = variables.get("CC")
    compilers = _COMPILERS if chosen is None else (chosen,)
    if not any(shutil.which(it, path=variables.get("PATH")) for it in compilers):
        missing.append("C compiler" if chosen is None else f"C compiler (CC is {chosen!r})")
    elsewhere = ":".join(variables.get(name, "") for name in _HEADER_PATHS).split(":")
    folders = [include, *(Path(it) for it in elsewhere if it)]
    if not any((folder / "Python.h").is_file() for folder in folders):
        missing.append(f"Python.h in {include}")
    return missing


def _include_folder() -> Path:
    """The directory where Triton looks for Python.h: on Debian not where Python itself would
    install headers.
    """
    scheme = sysconfig.get_default_scheme()
    scheme = "posix_prefix" if scheme == "posix_local" else scheme
    return Path(sysconfig.get_paths(scheme)["include"])
