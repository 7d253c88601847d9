# SPDX-License-Identifier: Apache-2.0
"""A user's shell: the repository, kubectl with our plugin, helm, a cluster and a namespace."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from cluster.installation import REPOSITORY
from testbed import binaries, helm

Done = subprocess.CompletedProcess[str]


class Shell:
    """Starts commands in the repository, or in another directory."""

    def __init__(
        self, kubeconfig: Path, namespace: str, folder: Path, *, within: Path = REPOSITORY
    ) -> None:
        self._within = within
        tools = folder / "bin"
        tools.mkdir()
        (tools / "kubectl").symlink_to(binaries.cluster_programs()["kubectl"])
        (tools / "helm").symlink_to(helm.program())
        config = yaml.safe_load(kubeconfig.read_text())
        config["contexts"][0]["context"]["namespace"] = namespace
        (folder / "kubeconfig").write_text(yaml.safe_dump(config))
        self._environment = os.environ | {
            "PATH": f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "KUBECONFIG": str(folder / "kubeconfig"),
        }

    def run(self, *line: str, seconds: float = 120) -> Done:
        return subprocess.run(
            line,
            cwd=self._within,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    @contextmanager
    def running(self, *line: str) -> Iterator["subprocess.Popen[str]"]:
        """A command that runs during the block, and is killed at its end."""
        with subprocess.Popen(
            line,
            cwd=self._within,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def finetune(self, *words: str) -> Done:
        return self.run("kubectl", "finetune", *words)

    def type(self, script: str, *, seconds: float = 900) -> Done:
        """Lines for bash, which stops at the first error."""
        return self.run("bash", "-euo", "pipefail", "-c", script, seconds=seconds)
