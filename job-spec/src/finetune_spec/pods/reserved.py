# SPDX-License-Identifier: Apache-2.0
"""The parts of a trainer's pod that the operator sets: names, paths and labels. No I/O here.

A test compares them with the pod that the operator builds.
"""

import re
from collections.abc import Mapping

from finetune_contract import mounts
from finetune_spec.variables import BLANK

CONTAINER = "trainer"

VOLUMES = frozenset({"run", "token", "work", "tmp", "shared-memory", "model-cache"})

FOLDERS: Mapping[str, str] = {
    mounts.RUN_FOLDER: "it contains the run document",
    mounts.TOKEN_FOLDER: "it contains the token for progress reports",
    mounts.WORK_FOLDER: "it holds model and checkpoints; resources.ephemeralStorage sets its size",
    mounts.MODEL_CACHE_FOLDER: "modelCache mounts a claim to it",
    "/dev/shm": "resources.sharedMemory sets its size",  # noqa: S108 - in the container
    "/tmp": "it is reserved for the trainer",  # noqa: S108 - in the container
}
"""Directory -> why nothing else can be mounted there."""

_SYSTEM = "it contains the image's programs and libraries"
_DEVICES = "the container runtime reads the devices of a pod from it: write spec.resources"
CODE_FOLDERS: Mapping[str, str] = {
    "/opt/finetune": "it contains the trainer's code",
    **dict.fromkeys(("/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib32", "/usr/lib64"), _SYSTEM),
    **dict.fromkeys(("/usr/libexec", "/usr/local/bin", "/usr/local/sbin"), _SYSTEM),
    **dict.fromkeys(("/usr/local/lib", "/usr/local/lib64"), _SYSTEM),
    **dict.fromkeys(("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/proc", "/sys"), _SYSTEM),
    **dict.fromkeys(("/etc/ld.so.preload", "/etc/ld.so.cache", "/etc/ld.so.conf"), _SYSTEM),
    "/etc/ld.so.conf.d": _SYSTEM,
    "/usr/local/nvidia": "it contains the driver",
    **dict.fromkeys(("/var/run/nvidia-container-devices", "/var/run/cdi", "/etc/cdi"), _DEVICES),
}
"""Directory or file -> why nothing can be mounted over it, or in it."""

PACKAGES = frozenset({"site-packages", "dist-packages"})
"""Directories of Python packages, at any path."""

_LAUNCHER = "the launcher sets it for each process"
VARIABLES: Mapping[str, str] = {
    "HOME": "the working directory is the trainer's home",
    "HF_HOME": "write modelCache to keep models, or set HF_DATASETS_CACHE for datasets",
    "HF_HUB_CACHE": "write modelCache: {claimName: ...}",
    **dict.fromkeys(
        ("PATH", "PYTHONPATH"), "the image sets it, and the trainer is located through it"
    ),
    mounts.ENV_GRACE_SECONDS: "write terminationGracePeriodSeconds",
    mounts.ENV_START_SECONDS: "write startDeadlineSeconds",
    mounts.ENV_PROGRESS_URL: "progress is reported to the operator",
    mounts.ENV_PROGRESS_TOKEN: "progress is reported to the operator",
    mounts.ENV_RUN_DIGEST: "the operator sets it for each attempt",
    mounts.ENV_NODE_RANK: "Kubernetes sets it on each node",
    **dict.fromkeys(BLANK, "it determines which code is loaded, and is empty in every pod"),
    "NVIDIA_VISIBLE_DEVICES": "the device plugin sets it: spec.resources defines the devices",
    **dict.fromkeys(("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"), _LAUNCHER),
}
"""Environment variable -> why it cannot be set, or the alternative."""

LABEL_DOMAINS: Mapping[str, str] = {
    "finetune.dev/": "the operator sets those of finetune.dev",
    "kueue.x-k8s.io/": "write it in metadata of the FineTuneJob, from which it is copied",
    "batch.kubernetes.io/": "the Job controller sets those",
}
"""Prefix of a label's or annotation's name -> why it cannot be set."""

LABELS: Mapping[str, str] = {
    "app.kubernetes.io/managed-by": "the operator sets it",
    **dict.fromkeys(("job-name", "controller-uid"), "the Job controller sets it"),
}


_INJECTION = re.compile(
    r"([-a-z0-9.]+\.)?cdi\.k8s\.io/.*"
    r"|([-a-z0-9]+\.)*(nri\.io|nri\.containerd\.io|crio\.io)/.*"
    r"|io\.(kubernetes\.cri-o|kubernetes\.cri|katacontainers|containerd)\..*"
    r"|(container\.)?(apparmor|seccomp)\.security\.(alpha|beta)\.kubernetes\.io/.*",
    re.IGNORECASE,
)
"""Names with which container runtimes give a container devices, mounts or other privileges."""


def reason_for_label(name: str) -> str | None:
    """Why a label or annotation of this name cannot be set; None if it can."""
    for domain, reason in LABEL_DOMAINS.items():
        if name.startswith(domain):
            return reason
    if _INJECTION.fullmatch(name):
        return "container runtimes grant devices and privileges through it: write spec.resources"
    return LABELS.get(name)
