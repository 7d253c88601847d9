# SPDX-License-Identifier: Apache-2.0
"""Requirements of the machine, and which of them are missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from testbed import cache
from testbed.narration import step

DEBIAN_PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
}
"""A command that the harness or a component runs, and its Debian package."""

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Missing(RuntimeError):
    """A requirement is missing; the message names it and the remedy."""


def missing() -> list[str]:
    """Reasons why no cluster can run here, as sentences; empty if one can.

    Requirements that `install` can add are no reason.
    """
    if sys.platform != "linux":
        return ["A cluster needs Linux namespaces; this machine is not Linux."]
    reasons = []
    if os.geteuid() != 0:
        reasons.append("A cluster needs root, for its network, mounts and cgroups.")
    packages = missing_packages()
    if packages and not _can_install():
        names = " ".join(packages)
        reasons.append(f"Missing programs; on Debian, run as root: apt-get install {names}")
    if shutil.which("go") is None:
        reasons.append("A cluster is built from Go modules, and there is no Go on the PATH.")
    return reasons


def missing_packages() -> list[str]:
    """The Debian packages whose commands are not on this machine."""
    return sorted(
        {package for command, package in DEBIAN_PACKAGES.items() if _which(command) is None}
    )


def program(command: str) -> Path:
    """The path of a command.

    Raises:
        Missing: it is not installed.
    """
    found = _which(command)
    if found is None:
        raise Missing(f"There is no {command} on this machine.")
    return Path(found)


def environment() -> dict[str, str]:
    """Our environment, with the directories of root's programs even after `su`."""
    return os.environ | {"PATH": _path()}


def install() -> None:
    """Installs missing requirements, if possible.

    Raises:
        Missing: one is missing and cannot be installed.
    """
    reasons = missing()
    if reasons:
        raise Missing(" ".join(reasons))
    packages = missing_packages()
    if not packages:
        return
    with step(f"Install {' '.join(packages)}"):
        _apt_get("update")
        _apt_get("install", "--yes", "--no-install-recommends", *packages)


def install_package(name: str, command: str) -> Path:
    """The path of a Debian package's command; the package is installed if required.

    Raises:
        Missing: it is not available.
    """
    if _which(command) is None:
        if not _can_install():
            raise Missing(f"Missing {command}; on Debian, run as root: apt-get install {name}")
        with step(f"Install {name}"):
            _apt_get("update")
            _apt_get("install", "--yes", "--no-install-recommends", name)
    return program(command)


def download_package(name: str, folder: Path) -> Path:
    """A Debian package as a file, without installing it: none of its services starts.

    Raises:
        Missing: it is not available.
    """
    if not _can_install():
        raise Missing(f"Debian's {name} is needed, and this machine has no apt-get for root.")
    _apt_get("update")
    # As the user that it is for: apt's own user may not write here.
    _apt_get("download", "-o", "APT::Sandbox::User=root", name, folder=folder)
    (package,) = folder.glob(f"{name}_*.deb")
    return package


def _which(command: str) -> str | None:
    return shutil.which(command, path=_path())


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"


def _can_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _apt_get(*arguments: str, folder: Path | None = None) -> None:
    # Tests that run in parallel install in parallel, and apt does not wait for a lock.
    with cache.locked(cache.root() / "apt.lock"):
        done = subprocess.run(
            ["apt-get", "-qq", *arguments],
            cwd=folder,
            env=environment() | {"DEBIAN_FRONTEND": "noninteractive"},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise Missing(f"apt-get {' '.join(arguments)} failed: {done.stderr.strip()}")
