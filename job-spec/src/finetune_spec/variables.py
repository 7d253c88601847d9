# SPDX-License-Identifier: Apache-2.0
"""Environment variables that give a pod other code, other devices or another store than its job
specifies. No I/O here.

The kinds are patterns, because loaders, vendors and clouds keep adding names. A Secret's keys are
not known here: variables that can be empty are set to empty in every pod (`BLANK`), because an
explicit variable overrides one from envFrom.
"""

import re
from collections.abc import Mapping

BLANK = (
    *("LD_PRELOAD", "LD_AUDIT", "GCONV_PATH", "BASH_ENV"),
    *("PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX", "PYTHONWARNINGS"),
    *("PYTHONBREAKPOINT", "PYTHONINSPECT"),
)
"""Variables that make a loader run other code, and that are the same as unset when empty."""

_HARMLESS = frozenset(
    {
        *("PYTHONUNBUFFERED", "PYTHONHASHSEED", "PYTHONFAULTHANDLER", "PYTHONUTF8"),
        *("PYTHONIOENCODING", "PYTHONDONTWRITEBYTECODE", "PYTHONTRACEMALLOC", "PYTHONDEVMODE"),
        *("PYTHONASYNCIODEBUG", "PYTHONMALLOC", "PYTHONINTMAXSTRDIGITS"),
    }
)

_CODE = re.compile(
    r"LD_.+|PYTHON.+|GCONV_PATH|LOCPATH|GLIBC_TUNABLES|BASH_ENV|ENV|PERL5\w+|NODE_OPTIONS"
    r"|(CUDA|NVTX)_INJECTION\w+|OPENSSL_(CONF|MODULES|ENGINES)"
)
_DEVICES = re.compile(
    r"(?!CUDA_)\w+_VISIBLE_(DEVICES|CORES|CHIPS|MODULES)"
    r"|NVIDIA_(MIG_\w+|IMEX_CHANNELS|GDS|GDRCOPY|MOFED|NVSWITCH)|GPU_DEVICE_ORDINAL|ZE_AFFINITY_MASK"
)
_STORE = re.compile(
    r"(AWS|S3|AZURE|GOOGLE|GCS|GCE|STORAGE|HF|BOTO)_.*(ENDPOINT|BASE_URL|EMULATOR).*"
    r"|AZURE_(STORAGE_)?ACCOUNT_NAME",
    re.IGNORECASE,
)
_NO_STORE = re.compile(r".*(METADATA|STS|MSI|IDENTITY|AUTHORITY)\w*", re.IGNORECASE)
"""Services that issue credentials; another pattern covers the store."""

_REASONS: Mapping[re.Pattern[str], str] = {
    _CODE: "it determines which code is loaded: build an image that does not need it",
    _DEVICES: "the device plugin sets it: spec.resources and resourceClaims define the devices",
}


def reason_for_variable(name: str) -> str | None:
    """Why a job must not set this variable in its pods; None if it may."""
    if name in _HARMLESS:
        return None
    return next((why for kind, why in _REASONS.items() if kind.fullmatch(name)), None)


def loads_code(name: str) -> bool:
    """Whether a process with this variable may run other code than its image's."""
    return name not in _HARMLESS and _CODE.fullmatch(name) is not None


def names_a_store(name: str) -> bool:
    """Whether it selects the server or account behind the URI of a place."""
    return _STORE.fullmatch(name) is not None and _NO_STORE.fullmatch(name) is None
