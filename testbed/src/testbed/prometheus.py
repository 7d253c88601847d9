# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus, out of Debian's package: to check rules, and to ask it about real metrics."""

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from testbed.cache import build_once, root
from testbed.narration import step
from testbed.ports import free_ports
from testbed.requirements import download_package

START_SECONDS = 60


class Prometheus:
    """One that scrapes."""

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression has now.

        Raises:
            RuntimeError: Prometheus refuses it; the message holds its words.
        """
        answer = self._ask(f"query?{urllib.parse.urlencode({'query': expression})}")
        if answer["status"] != "success":
            raise RuntimeError(f"{expression}: {answer.get('error')}")
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def targets_up(self) -> int:
        """How many of them were scraped well the last time."""
        active = self._ask("targets")["data"]["activeTargets"]
        return sum(target["health"] == "up" for target in active)

    def _ask(self, what: str) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"{self._url}/api/v1/{what}", timeout=10) as answer:
                told: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            told = json.load(error)
        return told


def promtool(*arguments: str | Path) -> str:
    """
    Raises:
        RuntimeError: it found something wrong; the message holds its words.
    """
    done = subprocess.run([_program("promtool"), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{done.stdout}{done.stderr}".strip())
    return done.stdout


@contextmanager
def scraping(targets: Sequence[str], folder: Path) -> Iterator[Prometheus]:
    """One that scrapes these addresses on 127.0.0.1 every second, its data in this folder."""
    scrape = {
        "job_name": "finetune-operator",
        "honor_labels": True,
        "static_configs": [{"targets": list(targets)}],
    }
    configuration = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}
    file = folder / "prometheus.json"
    file.write_text(json.dumps(configuration))
    (port,) = free_ports(1)
    command = [
        str(_program("prometheus")),
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        prometheus = Prometheus(f"http://127.0.0.1:{port}")
        _wait_until_up(prometheus, len(targets), folder / "prometheus.log")
        yield prometheus
    finally:
        process.kill()
        process.wait()


def _wait_until_up(prometheus: Prometheus, targets: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if prometheus.targets_up() == targets:
                return
        except (OSError, json.JSONDecodeError):
            # It does not listen yet, or says in plain words that it is not ready.
            pass
        time.sleep(0.2)
    raise TimeoutError(f"Prometheus did not scrape {targets} targets:\n{log.read_text()}")


def fetch() -> None:
    """Have it in the cache.

    Raises:
        Missing: it can't be had.
    """
    _program("prometheus")


def _program(name: str) -> Path:
    def unpack(folder: Path) -> None:
        with step("Fetch Prometheus"):
            package = download_package("prometheus", folder)
            subprocess.run(["dpkg-deb", "-x", package, folder], check=True, capture_output=True)
            package.unlink()

    return build_once(root() / "binaries" / "prometheus", unpack) / "usr" / "bin" / name
