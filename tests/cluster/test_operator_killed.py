# SPDX-License-Identifier: Apache-2.0
"""The operator dies at every step of a job's life: no second training, no stuck job."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.api_access import access_of
from cluster.deadly_api import deadly_api
from cluster.installation import Installation
from cluster.jobs import Jobs, a_short_job
from testbed import images
from testbed.ports import free_ports

pytestmark = pytest.mark.cluster


@pytest.fixture
def no_other_operator(installation: Installation) -> Iterator[None]:
    """The installed operator is removed for the duration of a test."""
    with installation.without_operator():
        yield


def test_an_operator_killed_at_every_write_creates_and_finishes_one_training_job(
    installation: Installation, jobs: Jobs, no_other_operator: None, tmp_path: Path
) -> None:
    if installation.cluster is None:
        pytest.skip("The way to the API server is laid through the tests' own cluster only.")
    name = jobs.apply(a_short_job("unlucky", steps=2))
    operator = RestartedOperator(installation, tmp_path)
    upstream, credentials = access_of(installation.cluster.kubeconfig)

    with deadly_api(upstream, credentials, operator.kill) as (url, deaths), operator.running(url):
        status = jobs.wait_for_end(name)

    assert status["phase"] == "Succeeded", status
    assert deaths.created["jobs"] == len(jobs.training_jobs(name)) == len(status["attempts"]) == 1
    assert deaths.created["configmaps"] == 1
    died_at = deaths.before & deaths.after
    assert {"POST configmaps", "POST jobs"} <= died_at
    phases = {write.split()[-1] for write in died_at if " status " in write}
    assert {"Starting", "Succeeded"} <= phases
    assert operator.starts > len(died_at)


class RestartedOperator:
    """The real operator as a process that is restarted whenever it has died."""

    def __init__(self, installation: Installation, folder: Path) -> None:
        self._installation = installation
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @contextmanager
    def running(self, url: str) -> Iterator[None]:
        kubeconfig = self._folder / "kubeconfig"
        kubeconfig.write_text(json.dumps(kubeconfig_of(url)))
        ended = threading.Event()
        keeper = threading.Thread(target=self._keep_running, args=(kubeconfig, ended))
        keeper.start()
        try:
            yield
        finally:
            ended.set()
            keeper.join(timeout=60)
            self.kill()

    def _keep_running(self, kubeconfig: Path, ended: threading.Event) -> None:
        (port,) = free_ports(1)
        environment = os.environ | {
            "KUBECONFIG": str(kubeconfig),
            "TRAINER_IMAGE": images.TRAINER.tag,
            "PORT": str(port),
            "LISTEN_ADDRESS": "127.0.0.1",
            "PROGRESS_URL": "http://finetune-operator.finetune-system.svc:8080",
        }
        with (self._folder / "operator.log").open("wb") as log:
            while not ended.is_set():
                # Another test covers waiting for the expiry of the dead one's Lease.
                self._installation.kubectl(
                    "delete", "lease", "-n", "finetune-system", "--all", "--wait=true"
                )
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "finetune_operator"],
                    env=environment,
                    stdout=log,
                    stderr=log,
                )
                self.starts += 1
                while self._process.poll() is None and not ended.is_set():
                    time.sleep(0.1)


def kubeconfig_of(url: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "way", "cluster": {"server": url}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "way", "context": {"cluster": "way", "user": "nobody"}}],
        "current-context": "way",
    }
