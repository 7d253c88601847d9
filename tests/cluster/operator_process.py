# SPDX-License-Identifier: Apache-2.0
"""The real operator as processes of this machine, which are cheap to kill and to restart."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO


class OperatorProcess:
    """One replica. Its log continues over its lives."""

    def __init__(
        self,
        name: str,
        kubeconfig: Path,
        port: int,
        folder: Path,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.name = name
        self._environment = os.environ | {
            "KUBECONFIG": str(kubeconfig),
            "POD_NAME": name,
            "PORT": str(port),
            "LISTEN_ADDRESS": "127.0.0.1",
            "TRAINER_IMAGE": "localhost/finetune-trainer:dev",
            **environment,
        }
        self._log: IO[bytes] = (folder / f"{name}.log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise LookupError(f"{self.name} was not started")
        return self._process.pid

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "finetune_operator"],
            env=self._environment,
            stdout=self._log,
            stderr=self._log,
        )

    def kill(self) -> None:
        """Kills with SIGKILL; its log is kept open."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def end(self) -> None:
        self.kill()
        self._log.close()
