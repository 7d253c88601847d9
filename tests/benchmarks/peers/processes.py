# SPDX-License-Identifier: Apache-2.0
"""A controller as a process of this machine: its start time and its resource use."""

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.process_use import cpu_seconds, resident_mebibytes

_READY_WITHIN_SECONDS = 120


class Controller:
    """One process with its log."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        health_port: int,
        folder: Path,
    ) -> None:
        self.name = name
        self._command = command
        self._environment = {"PATH": os.environ["PATH"], **environment}
        self.address = f"http://127.0.0.1:{health_port}"
        """The port of its health endpoint; our operator also accepts progress there."""
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                # It ends with the measurement, however that ends.
                ["setpriv", "--pdeathsig=KILL", *self._command],
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def require_alive(self) -> None:
        """
        Raises:
            RuntimeError: it has ended; the message contains its last output.
        """
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"{self.name} does not run. It said last:\n{self.log[-2000:]}")

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def cpu_seconds(self) -> float:
        return cpu_seconds(self._pid())

    def resident_mebibytes(self) -> float:
        return resident_mebibytes(self._pid())

    def _pid(self) -> int:
        self.require_alive()
        assert self._process is not None
        return self._process.pid


def seconds_until_ready(controllers: Sequence[Controller]) -> float:
    """Starts them, and waits until all serve their webhooks.

    Raises:
        TimeoutError: they do not.
        RuntimeError: one of them has ended.
    """
    begin = time.monotonic()
    for controller in controllers:
        controller.start()
    while not all(it.is_ready() for it in controllers):
        for controller in controllers:
            controller.require_alive()
        if time.monotonic() - begin > _READY_WITHIN_SECONDS:
            raise TimeoutError(f"not ready after {_READY_WITHIN_SECONDS} s")
        time.sleep(0.01)
    return time.monotonic() - begin
