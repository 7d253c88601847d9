# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus, from Debian's package: to check rules, and to query real metrics."""

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
    """A scraping Prometheus."""

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The current series of an expression.

        Raises:
            RuntimeError: Prometheus refuses it; the message contains its own.
        """
        answer = self._ask(f"query?{urllib.parse.urlencode({'query': expression})}")
        if answer["status"] != "success":
            raise RuntimeError(f"{expression}: {answer.get('error')}")
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def targets_up(self) -> int:
        """The number of targets that were scraped successfully the last time."""
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
        RuntimeError: it found an error; the message contains its output.
    """
    done = subprocess.run([_program("promtool"), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{done.stdout}{done.stderr}".strip())
    return done.stdout


@contextmanager
def scraping(targets: Sequence[str], folder: Path) -> Iterator[Prometheus]:
    """A Prometheus that scrapes these addresses on 127.0.0.1 every second, with its data in this
    directory.
    """
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
            # It does not listen yet, or reports that it is not ready.
            pass
        time.sleep(0.2)
    raise TimeoutError(f"Prometheus did not scrape {targets} targets:\n{log.read_text()}")


def fetch() -> None:
    """Fetches it into the cache.

    Raises:
        Missing: it is not available.
    """
    _program("prometheus")


def _program(name: str) -> Path:
    def unpack(folder: Path) -> None:
        with step("Fetch Prometheus"):
            package = download_package("prometheus", folder)
            subprocess.run(["dpkg-deb", "-x", package, folder], check=True, capture_output=True)
            package.unlink()

    return build_once(root() / "binaries" / "prometheus", unpack) / "usr" / "bin" / name
