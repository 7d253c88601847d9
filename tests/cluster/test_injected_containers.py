# SPDX-License-Identifier: Apache-2.0
"""A mesh that injects containers into pods: sidecars that stay or fail, init containers that wait.

Webhook, kubelet and Job controller are real; the trainer ends immediately.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import ending_trainer
from cluster.ending_trainer import TAG, a_job
from cluster.injecting_webhook import Containers, injecting
from cluster.installation import Installation
from cluster.jobs import Jobs, message_of

pytestmark = pytest.mark.cluster

NO_IMAGE = "trainer.invalid/none:1"


def a_container(name: str, script: str, image: str = TAG, **given: Any) -> dict[str, Any]:
    """One that the `restricted` standard admits."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    command = ["sh", "-c", script]
    return {
        "name": name,
        "image": image,
        "command": command,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": security,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **given,
    }


STAYS = a_container("proxy", "sleep 100000")
FAILS = a_container("proxy", "sleep 10; echo no control plane; exit 1")
MISSING = a_container("proxy", "", NO_IMAGE)
NATIVE = a_container("proxy", "trap 'exit 0' TERM; sleep 100000 & wait", restartPolicy="Always")

INJECTED: dict[str, Containers] = {
    "sidecar-stays": {"containers": [STAYS]},
    "sidecar-stays-fails": {"containers": [STAYS]},
    "sidecar-fails": {"containers": [FAILS]},
    "sidecar-missing": {"containers": [MISSING]},
    "sidecar-native": {"initContainers": [NATIVE]},
    "init-fails": {"initContainers": [a_container("setup", "echo no iptables; exit 3")]},
    "init-waits": {"initContainers": [a_container("wait-for-db", "sleep 100000")]},
    "init-missing": {"initContainers": [a_container("setup", "", NO_IMAGE)]},
}
ENDINGS = {"sidecar-stays-fails": "not-found"}
DEADLINES = {"init-waits": 30, "init-missing": 30}


@pytest.fixture(scope="module")
def started(
    installation: Installation, jobs: Jobs, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Jobs]:
    """All of these jobs, started at the same time."""
    if installation.cluster is None:
        pytest.skip("A webhook of the tests can be reached by their own cluster only.")
    ending_trainer.build()
    installation.cluster.load(TAG)
    folder: Path = tmp_path_factory.mktemp("webhook")
    with injecting(installation.cluster, folder, INJECTED):
        for name in INJECTED:
            limit = {"startDeadlineSeconds": DEADLINES[name]} if name in DEADLINES else {}
            ends_as = ENDINGS.get(name, "succeeded")
            jobs.apply(a_job(name, jobs.namespace, ends_as, **limit))
        yield jobs


def wait_for_no_pods(jobs: Jobs, name: str) -> None:
    of_job = ("--selector", f"finetune.dev/job={name}")
    jobs.run("wait", "--for=delete", "pods", *of_job, "--timeout=120s")


@pytest.mark.parametrize("name", ["sidecar-stays", "sidecar-missing"])
def test_a_sidecar_that_keeps_running_does_not_delay_the_result(started: Jobs, name: str) -> None:
    status = started.wait_for_end(name, seconds=120)

    assert status["phase"] == "Succeeded"
    assert status["artifact"]["uri"] == "s3://nowhere/adapter"
    assert "container proxy kept running after the trainer exited" in message_of(status)
    wait_for_no_pods(started, name)
    assert started.status(name)["phase"] == "Succeeded"


def test_a_failure_is_reported_at_once_although_a_sidecar_keeps_running(started: Jobs) -> None:
    status = started.wait_for_end("sidecar-stays-fails", seconds=120)

    (attempt,) = status["attempts"]
    assert (status["phase"], status["failure"]["reason"]) == ("Failed", "ModelNotFound")
    assert attempt["exitCode"] == 64
    assert "container proxy kept running after the trainer exited" in message_of(status)
    wait_for_no_pods(started, "sidecar-stays-fails")


def test_a_sidecar_that_fails_after_the_trainer_does_not_fail_the_job(started: Jobs) -> None:
    status = started.wait_for_end("sidecar-fails", seconds=120)

    (attempt,) = status["attempts"]
    assert (status["phase"], attempt["result"]) == ("Succeeded", "Succeeded")
    assert "container proxy" in message_of(status)


def test_a_native_sidecar_ends_by_itself_and_its_job_is_kept(started: Jobs) -> None:
    status = started.wait_for_end("sidecar-native", seconds=120)

    assert status["phase"] == "Succeeded"
    started.run(
        *("wait", "--for=condition=Complete", "job/sidecar-native-1", "--timeout=60s"),
    )


def test_a_failing_init_container_is_named_with_its_message(started: Jobs) -> None:
    status = started.wait_for_end("init-fails", seconds=120)

    assert status["failure"]["reason"] == "InitContainerFailed"
    assert "init container setup of pod init-fails-1-" in status["failure"]["message"]
    assert "exit code 3" in status["failure"]["message"]
    assert "no iptables" in status["failure"]["message"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("init-waits", "waits for init container wait-for-db", id="one that waits"),
        pytest.param("init-missing", "init container setup", id="one without its image"),
    ],
)
def test_an_init_container_that_blocks_the_pod_is_named(
    started: Jobs, name: str, words: str
) -> None:
    started.wait_until(name, lambda s: words in message_of(s), seconds=90, what="its name")

    status = started.wait_for_end(name, seconds=120)

    assert status["failure"]["reason"] == "PodsNotStarted"
    assert status["failure"]["category"] == "Platform"
    assert words in status["failure"]["message"]
