# SPDX-License-Identifier: Apache-2.0
"""The operator's replicas as processes, on a control plane without nodes; pods are simulated."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from cluster.api_access import access_of
from cluster.faulty_api import FaultyWay, Write
from cluster.replica import Replica
from finetune_contract.mounts import progress_audience
from finetune_contract.shallow import parse_json
from finetune_operator.objects.names import LABEL_JOB
from support.factories import a_bad_outcome, a_good_outcome
from testbed.control_plane import ControlPlane
from testbed.ports import free_ports

_CONTAINER = {
    "name": "trainer",
    "image": "trainer:1",
    "imageID": "",
    "ready": False,
    "restartCount": 0,
}

JOBS = "/apis/finetune.dev/v1alpha1/namespaces/{}/finetunejobs"


class Stage:
    """One team's namespace on a control plane, and its replicas."""

    def __init__(self, plane: ControlPlane, namespace: str, folder: Path) -> None:
        self.plane = plane
        self.namespace = namespace
        self.folder = folder
        self.audit: list[Write] = []
        self.replicas: dict[str, Replica] = {}
        self._server, self._credentials = access_of(plane.kubeconfig)

    @contextmanager
    def with_replicas(
        self, number: int = 2, environments: Sequence[Mapping[str, str]] = ()
    ) -> Iterator["Stage"]:
        """At the end the jobs are deleted, and the replicas end. Environments: of each, if any."""
        with ExitStack() as stack:
            for index, port in enumerate(free_ports(number)):
                name = f"replica-{index}"
                way = FaultyWay(
                    self._server, self._credentials, replica=name, audit=self.audit, seed=index
                )
                url = stack.enter_context(way.served())
                environment = environments[index] if environments else {}
                self.replicas[name] = Replica(name, way, url, self.folder, port, environment)
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
        """Requests to the API server itself, with all permissions; None if the object does not
        exist.
        """
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        data = None if body is None else json.dumps(body).encode()
        code, said = self.send(method, path, data, {"Content-Type": kind})
        if code == 404:
            return None
        if code >= 400:
            raise RuntimeError(f"{method} {path}: {code} {said!r}")
        return parse_json(said)

    def send(
        self, method: str, path: str, data: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """The API server's response of any kind."""
        url = f"{self._server}{path}"
        request = urllib.request.Request(url, method=method, data=data, headers=dict(headers))
        try:
            with urllib.request.urlopen(request, context=self._credentials, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read()

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
        found: dict[str, Any] = (self.job(name) or {}).get("status", {})
        return found

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
        """A token like the kubelet's: for this pod, for reports on this job."""
        job, bound = self.job(name), {"apiVersion": "v1", "kind": "Pod"}
        assert job is not None
        bound |= {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        audience = progress_audience(self.namespace, name, job["metadata"]["uid"])
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/default/token"
        spec = {"audiences": [audience], "boundObjectRef": bound}
        made = self.ask("POST", path, {"spec": spec})
        return str(made["status"]["token"])

    def play_pods(self, *, failing: Callable[[str], bool] = lambda name: False) -> None:
        """Simulates the node: each new pod ends immediately."""
        for pod in self.pods():
            metadata, phase = pod["metadata"], pod["status"].get("phase")
            if phase != "Pending" or "deletionTimestamp" in metadata:
                continue
            is_bad = failing(metadata["labels"]["batch.kubernetes.io/job-name"])
            outcome = a_bad_outcome() if is_bad else a_good_outcome()
            self._play(pod, _ended(outcome, is_bad=is_bad))

    def play_running(self, pod: dict[str, Any]) -> None:
        """The kubelet's status of a training pod."""
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

    def play_end(self, pod: dict[str, Any], last_words: str) -> None:
        """The kubelet's status of a successful pod, with any termination message."""
        self._play(pod, _ended_well(last_words))

    def pod_of(self, name: str) -> dict[str, Any]:
        """The only pod of this job, once it exists."""

        def of_job() -> list[dict[str, Any]]:
            return [it for it in self.pods() if it["metadata"]["labels"].get(LABEL_JOB) == name]

        wait_until(lambda: bool(of_job()), f"{name} has a pod")
        return of_job()[0]

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


def install(plane: ControlPlane, repository: Path) -> None:
    """Installs the CRD, and everything of the operator except its pods."""
    plane.kubectl("apply", "--server-side", "-f", repository / "crds")
    plane.kubectl("apply", "-f", repository / "deploy" / "namespace.yaml")
    documents = yaml.safe_load_all((repository / "deploy" / "operator.yaml").read_text())
    parts = [it for it in documents if it["kind"] != "Deployment"]
    plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(parts))


def wait_until(is_so: Callable[[], bool], what: str, timeout_seconds: float = 120) -> None:
    """
    Raises:
        TimeoutError: it is not true; the message names the condition.
    """
    deadline = time.monotonic() + timeout_seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not true after {timeout_seconds:.0f} s: {what}.")
        time.sleep(0.1)


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
    """Simulates the job's successful end."""

    def has_succeeded() -> bool:
        stage.play_pods()
        return stage.phase(name) == "Succeeded"

    wait_until(has_succeeded, f"{name} has succeeded")


def _ended_well(last_words: str) -> dict[str, Any]:
    ended = _ended(a_good_outcome(), is_bad=False)
    ended["containerStatuses"][0]["state"]["terminated"]["message"] = last_words
    return ended


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
