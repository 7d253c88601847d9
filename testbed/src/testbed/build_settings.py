# SPDX-License-Identifier: Apache-2.0
"""Gives an image's build the access to package indexes that this machine has.

Nothing of it is kept in the image: build arguments that only `RUN` sees, and mounts.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CERTIFICATES = Path("/etc/ssl/certs")
_PASSED_ON = re.compile(
    r"(PIP|UV)_\w+|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|(?i:\w+_proxy)"
)
"""The settings of this machine that a build may need. A build gets those its Dockerfile names as
ARG.
"""

_APT_SETTINGS = ("Acquire::http", "Acquire::https", "Acquire::Check-Valid-Until")
"""How packages are fetched: proxies, and whether an older index of a mirror is accepted."""
_APT_FOLDER = "/etc/apt/apt.conf.d"


@contextmanager
def settings_of_this_machine(dockerfile: Path) -> Iterator[list[str]]:
    """Options of buildah, valid until the end of the build."""
    text = dockerfile.read_text()
    options = [*_arguments(text), *_certificates()]
    with tempfile.TemporaryDirectory() as folder:
        if "apt-get" in text and shutil.which("apt-config"):
            # The sources are the base's own: debootstrap wrote the mirror it used there.
            (Path(folder) / "acquire.conf").write_text(_apt_settings())
            options += ["--volume", f"{folder}:{_APT_FOLDER}:ro"]
        yield options


def _arguments(dockerfile: str) -> list[str]:
    declared = set(re.findall(r"^ARG\s+(\w+)", dockerfile, re.MULTILINE))
    options = []
    for name in sorted(declared & os.environ.keys()):
        if _PASSED_ON.fullmatch(name):
            options += ["--build-arg", f"{name}={os.environ[name]}"]
    return options


def _certificates() -> list[str]:
    options = []
    trusted = {_CERTIFICATES, Path(os.environ.get("SSL_CERT_FILE", _CERTIFICATES))}
    for path in sorted(trusted):
        if path.exists() and (path == _CERTIFICATES or _CERTIFICATES not in path.parents):
            options += ["--volume", f"{path}:{path}:ro"]
    return options


def _apt_settings() -> str:
    dumped = subprocess.run(
        ["apt-config", "dump", *_APT_SETTINGS], check=True, capture_output=True, text=True
    )
    return dumped.stdout
