# SPDX-License-Identifier: Apache-2.0
"""The harness itself: the guarantees for authors of cluster tests."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed import cache, images, requirements
from testbed.cluster import Cluster
from testbed.images import Image
from testbed.shutdown import remove_dead_clusters

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.own_cluster,
    pytest.mark.long,
    pytest.mark.skipif(bool(requirements.missing()), reason=" ".join(requirements.missing())),
]

RESTRICTED = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {
        "name": "strict",
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
    },
}

GREET = """
import os, socket, time
other = f"gang-{1 - int(os.environ['JOB_COMPLETION_INDEX'])}.gang.strict.svc.cluster.local"
for attempt in range(150):
    try:
        print("found", socket.gethostbyname(other))
        break
    except OSError:
        time.sleep(0.2)
else:
    raise SystemExit(f"nobody knows {other}")
"""

FETCH = """
import time, urllib.request
for attempt in range(100):
    try:
        print(urllib.request.urlopen("http://server.default.svc.cluster.local/", timeout=9).read())
        break
    except OSError:  # a Service refuses until kube-proxy knows that its pod is ready
        time.sleep(0.2)
else:
    raise SystemExit("nobody answers")
"""

HARNESS = """
import sys, time
from testbed.cluster import Cluster
with Cluster.up(sys.argv[1]):
    print("up", flush=True)
    time.sleep(600)
"""


def an_image(tag: str, folder: Path) -> Image:
    """A small image with two layers above the base, the upper one hiding a file of the lower."""
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(
        "ARG BASE\nFROM ${BASE}\nRUN echo lower > /lower\nRUN rm /lower && echo upper > /upper\n"
    )
    return Image(tag=tag, dockerfile=dockerfile, context=folder)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image of the pods in these tests. They share it: no test may change it."""
    return an_image("localhost/testbed-test:1", tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def cluster(image: Image) -> Iterator[Cluster]:
    images.build(image)
    with Cluster.up() as cluster:
        cluster.load(image.tag)
        yield cluster


def a_pod(name: str, command: list[str], tag: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": tag, "command": command}],
        },
    }


def a_gang(tag: str) -> list[dict[str, Any]]:
    """An Indexed Job with two pods that meets the strictest standard, and its Service."""
    container = {
        "name": "main",
        "image": tag,
        "command": ["python3", "-c", GREET],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    pod = {
        "subdomain": "gang",
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "gang", "namespace": "strict"},
        "spec": {
            "completions": 2,
            "parallelism": 2,
            "completionMode": "Indexed",
            "backoffLimit": 0,
            "template": {"spec": pod},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "gang", "namespace": "strict"},
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {"batch.kubernetes.io/job-name": "gang"},
        },
    }
    return [RESTRICTED, service, job]


def apply(cluster: Cluster, *resources: dict[str, Any]) -> None:
    several = {"apiVersion": "v1", "kind": "List", "items": list(resources)}
    cluster.kubectl("apply", "-f", "-", input=json.dumps(several))


def said_in_the_end(cluster: Cluster, pod: str) -> str:
    """The output of a pod that must have succeeded."""
    ended = "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}"
    cluster.kubectl("wait", f"pod/{pod}", f"--for={ended}", "--timeout=30s")
    said = cluster.kubectl("logs", pod)
    assert cluster.kubectl("get", f"pod/{pod}", "-o", ended) == "0", said
    return said


def traces_of(name: str) -> list[str]:
    """Everything on this machine that still has the cluster's name."""
    processes = [
        process.name
        for process in Path("/proc").iterdir()
        if process.name.isdigit() and f"/clusters/{name}/" in command_line(process)
    ]
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if name in line]
    cgroups = [folder for folder, _, _ in os.walk("/sys/fs/cgroup") if name in folder]
    files = [str(path) for path in cache.root().glob(f"clusters/{name}*")]
    return processes + mounts + cgroups + files


def command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def test_the_node_is_ready_and_the_server_has_the_pinned_version(cluster: Cluster) -> None:
    nodes = json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"]
    version = json.loads(cluster.kubectl("version", "-o", "json"))["serverVersion"]

    ready = [item for item in nodes[0]["status"]["conditions"] if item["type"] == "Ready"]
    assert [item["status"] for item in ready] == ["True"]
    assert version["gitVersion"] == "v1.35.4"
    assert cluster.ended() == []


def test_the_pods_of_a_restricted_indexed_job_resolve_each_other_by_name(
    cluster: Cluster, image: Image
) -> None:
    apply(cluster, *a_gang(image.tag))

    cluster.kubectl(
        *("wait", "job/gang", "--namespace=strict", "--for=condition=Complete", "--timeout=60s")
    )
    said = cluster.kubectl("logs", "--namespace=strict", "--selector=job-name=gang")
    assert said.count("found 10.244.") == 2


def test_a_pod_sees_the_layers_of_its_image_and_cannot_change_them_for_others(
    cluster: Cluster, image: Image
) -> None:
    write = "test ! -e /lower && grep upper /upper && echo changed > /upper && grep changed /upper"
    apply(cluster, a_pod("writer", ["sh", "-c", write], image.tag))
    assert said_in_the_end(cluster, "writer") == "upper\nchanged\n"

    apply(cluster, a_pod("reader", ["cat", "/upper"], image.tag))
    assert said_in_the_end(cluster, "reader") == "upper\n"


def test_a_service_is_reachable_from_a_pod_and_from_the_host_through_a_forward(
    cluster: Cluster, image: Image
) -> None:
    serve = ["python3", "-m", "http.server", "8080", "--directory", "/etc"]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "server"},
        "spec": {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    apply(cluster, a_pod("server", serve, image.tag), service)
    cluster.kubectl("wait", "pod/server", "--for=condition=Ready", "--timeout=30s")
    address = cluster.kubectl("get", "service", "server", "-o", "jsonpath={.spec.clusterIP}")

    apply(cluster, a_pod("client", ["python3", "-c", FETCH], image.tag))
    assert "Directory listing" in said_in_the_end(cluster, "client")
    port = cluster.forward(address, 80)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/debian_version", timeout=10) as answer:
        assert answer.read().startswith(b"12")


def test_a_pod_that_requests_a_gpu_is_scheduled_where_gpus_are_simulated(
    cluster: Cluster, image: Image
) -> None:
    pod = a_pod("needs-gpu", ["true"], image.tag)
    pod["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "2"}}

    cluster.pretend_gpus(8)
    apply(cluster, pod)

    assert said_in_the_end(cluster, "needs-gpu") == ""


def test_every_write_is_in_the_audit_log(cluster: Cluster) -> None:
    cluster.kubectl("create", "configmap", "audited")

    writes = [
        event["user"]["username"]
        for event in cluster.audit()
        if event["verb"] == "create" and event.get("objectRef", {}).get("name") == "audited"
    ]
    assert writes == ["admin"]


def test_a_killed_component_is_reported_and_can_be_restarted(cluster: Cluster) -> None:
    cluster.kill("kube-scheduler")
    assert cluster.ended() == ["kube-scheduler"]
    assert "components that have ended\nkube-scheduler" in cluster.diagnose()

    cluster.start("kube-scheduler")
    cluster.restart("kube-apiserver")

    assert cluster.ended() == []
    deadline = time.monotonic() + 30
    while True:
        try:
            assert cluster.kubectl("get", "--raw=/readyz") == "ok"
            break
        except RuntimeError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_an_unchanged_image_is_neither_built_nor_loaded_again(
    cluster: Cluster, image: Image
) -> None:
    before = images.find(image.tag)

    images.build(image)

    assert images.find(image.tag) == before
    assert not cluster.load(image.tag)


def test_a_changed_image_shares_its_unchanged_layers(cluster: Cluster, tmp_path: Path) -> None:
    image = an_image("localhost/testbed-changing:1", tmp_path)
    images.build(image)
    assert cluster.load(image.tag)
    before = images.find(image.tag)

    text = image.dockerfile.read_text()
    image.dockerfile.write_text(text.replace("echo upper", "echo better"))
    images.build(image)

    assert cluster.load(image.tag)
    after = images.find(image.tag)
    assert after.layers[:-1] == before.layers[:-1]
    assert after.layers[-1] != before.layers[-1]
    apply(cluster, a_pod("better", ["cat", "/upper"], image.tag))
    assert said_in_the_end(cluster, "better") == "better\n"


def test_an_image_that_was_not_built_is_named_in_the_error(cluster: Cluster) -> None:
    with pytest.raises(LookupError, match="no image localhost/nobody:1; build it first"):
        cluster.load("localhost/nobody:1")


def test_two_clusters_do_not_disturb_each_other_and_down_removes_everything(
    cluster: Cluster, image: Image
) -> None:
    apply(cluster, a_pod("witness", ["sleep", "600"], image.tag))
    cluster.kubectl("wait", "pod/witness", "--for=condition=Ready", "--timeout=30s")

    with Cluster.up() as other:
        other.load(image.tag)
        apply(other, a_pod("witness", ["sleep", "600"], image.tag))
        other.kubectl("wait", "pod/witness", "--for=condition=Ready", "--timeout=30s")
        other.kubectl("delete", "pod", "witness", "--grace-period=1")
        assert traces_of(other.name)

    assert traces_of(other.name) == []
    assert cluster.ended() == []
    witness = json.loads(cluster.kubectl("get", "pod", "witness", "-o", "json"))
    assert witness["status"]["containerStatuses"][0]["restartCount"] == 0


@pytest.mark.parametrize("victim", ["harness", "keeper"])
def test_a_cluster_is_removed_completely_when_its_processes_are_killed(
    victim: str, image: Image
) -> None:
    name = f"test-killed-{victim}"
    command = [sys.executable, "-c", HARNESS, name]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as harness:
        assert harness.stdout is not None
        assert harness.stdout.readline()
        cluster = Cluster.find(name)
        cluster.load(image.tag)
        apply(cluster, a_pod("sleeper", ["sleep", "600"], image.tag))
        cluster.kubectl("wait", "pod/sleeper", "--for=condition=Ready", "--timeout=30s")

        os.kill(harness.pid if victim == "harness" else cluster.keeper, signal.SIGKILL)
        if victim == "keeper":
            # The next command removes its files.
            wait_until_gone(f"/clusters/{name}/")
            remove_dead_clusters()
        harness.kill()

    deadline = time.monotonic() + 10
    while traces_of(name) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert traces_of(name) == []


def wait_until_gone(word: str) -> None:
    """Waits until no process has this word in its command line."""
    deadline = time.monotonic() + 10
    while any(word in command_line(process) for process in Path("/proc").glob("[0-9]*")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
