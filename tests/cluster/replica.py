# SPDX-License-Identifier: Apache-2.0
"""One replica of the operator as a process, with a separate proxy to the API server."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from cluster.faulty_api import FaultyWay
from cluster.test_operator_killed import kubeconfig_of
from finetune_contract.progress import Progress
from finetune_operator.progress.server import PROGRESS_PATH


class Replica:
    """One process of the operator."""

    def __init__(
        self,
        name: str,
        way: FaultyWay,
        url: str,
        folder: Path,
        port: int,
        environment: Mapping[str, str],
    ) -> None:
        self.name = name
        self.way = way
        self._environment = environment
        self._port = port
        self._log = folder / f"{name}.log"
        self._kubeconfig = folder / f"{name}.kubeconfig"
        self._kubeconfig.write_text(json.dumps(kubeconfig_of(url)))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = os.environ | {
            "KUBECONFIG": str(self._kubeconfig),
            "TRAINER_IMAGE": "trainer:1",
            "PORT": str(self._port),
            "POD_NAME": self.name,
            "LISTEN_ADDRESS": "127.0.0.1",
            **self._environment,
        }
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "finetune_operator"]
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    @property
    def address(self) -> str:
        """The address for progress and metrics."""
        return f"127.0.0.1:{self._port}"

    def is_ready(self) -> bool:
        return is_served(f"http://{self.address}/readyz")

    def report(self, namespace: str, name: str, token: str, progress: Progress) -> None:
        """Like a trainer, which ignores the response."""
        request = urllib.request.Request(
            f"http://{self.address}{PROGRESS_PATH.format(namespace=namespace, name=name)}",
            method="POST",
            data=progress.to_body(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        with suppress(OSError), urllib.request.urlopen(request, timeout=5):
            pass

    def metric(self, name: str, **wanted: str) -> float:
        """The sum of its samples with these labels."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.metrics_text())
            for sample in family.samples
            if sample.name == name and wanted.items() <= sample.labels.items()
        )

    def metrics_text(self) -> str:
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    def cpu_seconds(self) -> float:
        """Its CPU time since its start."""
        # After its name, which may contain spaces.
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self) -> int:
        """The current memory of the process."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process

    @property
    def log(self) -> str:
        return self._log.read_text()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def is_served(url: str) -> bool:
    """Whether a server there responds successfully."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except (OSError, HTTPException):
        return False
