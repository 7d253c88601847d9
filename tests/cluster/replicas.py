# SPDX-License-Identifier: Apache-2.0
"""The operator's replicas as processes, on a control plane without nodes; pods are played."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from cluster.api_access import access_of
from cluster.faulty_api import FaultyWay, Write
from cluster.test_operator_killed import kubeconfig_of
from finetune_contract.mounts import progress_audience
from finetune_contract.progress import Progress
from finetune_operator.kube.shallow import parse_json
from finetune_operator.progress.server import PROGRESS_PATH
from support.factories import a_bad_outcome, a_good_outcome
from testbed.control_plane import ControlPlane

_CONTAINER = {
    "name": "trainer",
    "image": "trainer:1",
    "imageID": "",
    "ready": False,
    "restartCount": 0,
}

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_FIRST_PORT = 18180 + 10 * _WORKER
"""Of the replicas of this process of pytest: below those that the kernel gives out."""

JOBS = "/apis/finetune.dev/v1alpha1/namespaces/{}/finetunejobs"


class Stage:
    """One team's namespace on a control plane, and the replicas that look after it."""

    def __init__(self, plane: ControlPlane, namespace: str, folder: Path) -> None:
        self.plane = plane
        self.namespace = namespace
        self.folder = folder
        self.audit: list[Write] = []
        self.replicas: dict[str, Replica] = {}
        self._server, self._credentials = access_of(plane.kubeconfig)

    @contextmanager
    def with_replicas(self, number: int = 2) -> Iterator["Stage"]:
        """At the end the jobs are gone, and so are the replicas."""
        with ExitStack() as stack:
            for index in range(number):
                name = f"replica-{index}"
                way = FaultyWay(
                    self._server, self._credentials, replica=name, audit=self.audit, seed=index
                )
                url = stack.enter_context(way.served())
                self.replicas[name] = Replica(name, way, url, self.folder, _FIRST_PORT + index)
                stack.callback(self.replicas[name].kill)
            self.ask("DELETE", "/apis/coordination.k8s.io/v1/namespaces/finetune-system/leases")
            for replica in self.replicas.values():
                replica.start()
            wait_until(lambda: self.find_leader() is not None, "somebody leads")
            for replica in self.replicas.values():
                wait_until(replica.is_ready, f"{replica.name} is ready")
            yield self
            self.ask("DELETE", JOBS.format(self.namespace))

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Of the API server itself, with every right; None where there is no such object."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        request = urllib.request.Request(
            f"{self._server}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": kind},
        )
        try:
            with urllib.request.urlopen(request, context=self._credentials, timeout=30) as answer:
                return parse_json(answer.read())
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise RuntimeError(f"{method} {path}: {error.code} {error.read()!r}") from error

    def apply(self, name: str, **given: Any) -> str:
        spec = {
            "config": {
                "model_name_or_path": "s3://models/tiny",
                "dataset_name": "s3://datasets/tiny",
            },
            "output": {"uri": f"s3://models/{name}"},
        }
        metadata = {"namespace": self.namespace, "name": name}
        job = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": metadata}
        self.ask("POST", JOBS.format(self.namespace), {**job, "spec": {**spec, **given}})
        return name

    def job(self, name: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.ask("GET", f"{JOBS.format(self.namespace)}/{name}")
        return found

    def status(self, name: str) -> dict[str, Any]:
        return (self.job(name) or {}).get("status", {})

    def phase(self, name: str) -> str:
        return str(self.status(name).get("phase", ""))

    def training_jobs(self) -> dict[str, Any]:
        path = f"/apis/batch/v1/namespaces/{self.namespace}/jobs"
        return {it["metadata"]["name"]: it for it in self.ask("GET", path)["items"]}

    def pods(self) -> list[dict[str, Any]]:
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        found: list[dict[str, Any]] = self.ask("GET", path)["items"]
        return found

    def token_of(self, pod: dict[str, Any], name: str) -> str:
        """As the kubelet would ask for it: this pod's, for reports on this job."""
        job, bound = self.job(name), {"apiVersion": "v1", "kind": "Pod"}
        assert job is not None
        bound |= {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        audience = progress_audience(self.namespace, name, job["metadata"]["uid"])
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/default/token"
        spec = {"audiences": [audience], "boundObjectRef": bound}
        made = self.ask("POST", path, {"spec": spec})
        return str(made["status"]["token"])

    def play_pods(self, *, failing: Callable[[str], bool] = lambda name: False) -> None:
        """What the node would say: each new pod ends at once."""
        for pod in self.pods():
            metadata, phase = pod["metadata"], pod["status"].get("phase")
            if phase != "Pending" or "deletionTimestamp" in metadata:
                continue
            is_bad = failing(metadata["labels"]["batch.kubernetes.io/job-name"])
            outcome = a_bad_outcome() if is_bad else a_good_outcome()
            self._play(pod, _ended(outcome, is_bad=is_bad))

    def play_running(self, pod: dict[str, Any]) -> None:
        """What the kubelet says of a pod that trains."""
        state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
        container = _CONTAINER | {"ready": True, "state": state}
        well = [{"type": each, "status": "True"} for each in ("Ready", "ContainersReady")]
        status = {"phase": "Running", "conditions": well, "containerStatuses": [container]}
        self._play(pod, status)

    def evict(self, pod: dict[str, Any], message: str = "") -> None:
        """As the kubelet does under pressure."""
        why = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}
        status = {"phase": "Failed", "reason": "Evicted", "message": message, "conditions": [why]}
        self._play(pod, status)

    def _play(self, pod: dict[str, Any], status: dict[str, Any]) -> None:
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}/status"
        self.ask("PATCH", path, {"status": status})

    def find_leader(self) -> "Replica | None":
        path = "/apis/coordination.k8s.io/v1/namespaces/finetune-system/leases/finetune-operator"
        holder = ((self.ask("GET", path) or {}).get("spec") or {}).get("holderIdentity") or ""
        return self.replicas.get(holder.split("_")[0])

    def leader(self) -> "Replica":
        found = self.find_leader()
        assert found is not None
        return found

    def other(self, replica: "Replica") -> "Replica":
        return next(it for it in self.replicas.values() if it is not replica)


class Replica:
    """One process of the operator."""

    def __init__(self, name: str, way: FaultyWay, url: str, folder: Path, port: int) -> None:
        self.name = name
        self.way = way
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
        }
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "finetune_operator"]
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    @property
    def address(self) -> str:
        """Where progress is taken, and metrics are told."""
        return f"127.0.0.1:{self._port}"

    def is_ready(self) -> bool:
        return is_served(f"http://{self.address}/readyz")

    def report(self, namespace: str, name: str, token: str, progress: Progress) -> None:
        """As a trainer does, which takes no notice of an answer."""
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
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=5) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and wanted.items() <= sample.labels.items()
        )

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


def install(plane: ControlPlane, repository: Path) -> None:
    """The CRD, and all of the operator but its pods."""
    plane.kubectl("apply", "--server-side", "-f", repository / "crds")
    plane.kubectl("apply", "-f", repository / "deploy" / "namespace.yaml")
    documents = yaml.safe_load_all((repository / "deploy" / "operator.yaml").read_text())
    parts = [it for it in documents if it["kind"] != "Deployment"]
    plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(parts))


def wait_until(is_so: Callable[[], bool], what: str, timeout_seconds: float = 120) -> None:
    """
    Raises:
        TimeoutError: it is not; the message says what.
    """
    deadline = time.monotonic() + timeout_seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"After {timeout_seconds:.0f} s still not so: {what}.")
        time.sleep(0.1)


def is_served(url: str) -> bool:
    """Whether anybody answers there, and well."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except (OSError, HTTPException):
        return False


def is_begun(stage: Stage, name: str) -> bool:
    return stage.phase(name) == "Starting"


def message_of(stage: Stage, name: str) -> str:
    return str(_ready(stage, name).get("message", ""))


def reason_of(stage: Stage, name: str) -> str:
    return str(_ready(stage, name).get("reason", ""))


def _ready(stage: Stage, name: str) -> dict[str, Any]:
    conditions = stage.status(name).get("conditions", [])
    return next((it for it in conditions if it["type"] == "Ready"), {})


def finish(stage: Stage, name: str) -> None:
    """Plays the job to its good end."""

    def has_succeeded() -> bool:
        stage.play_pods()
        return stage.phase(name) == "Succeeded"

    wait_until(has_succeeded, f"{name} has succeeded")


def _ended(outcome: Any, *, is_bad: bool) -> dict[str, Any]:
    ended = {
        "exitCode": int(outcome.exit_code),
        "reason": "Error" if is_bad else "Completed",
        "message": outcome.to_json(),
        "startedAt": "2026-01-01T00:00:00Z",
        "finishedAt": "2026-01-01T00:00:01Z",
    }
    container = _CONTAINER | {"state": {"terminated": ended}}
    phase = "Failed" if is_bad else "Succeeded"
    return {"phase": phase, "containerStatuses": [container]}
