# SPDX-License-Identifier: Apache-2.0
"""mallory, who may only create jobs and schedules, the neighbours, and the effect on them."""

import json
import random
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from cluster import reviewed
from cluster.hostile_hub import Hub
from cluster.replica import Replica
from cluster.replicas import JOBS, Stage, reason_of, wait_until
from testbed.control_plane import ControlPlane

MOST_MEMORY_BYTES = 400 * 1024 * 1024
"""A part of the 512 MiB that the chart gives a replica."""
MOST_METRICS_BYTES = 1024 * 1024
MOST_SECONDS = 5
"""The time limit for accepting another tenant's job, not counting the time in which processes wait
for a core: the tests share the machine. The leader may compute for this long, too.
"""
LONGEST_MESSAGE = 16_000
"""Limit for all conditions together: fifty errors in each of three."""

LEASE = "/apis/coordination.k8s.io/v1/namespaces/finetune-system/leases/finetune-operator"
SCHEDULES = "/apis/finetune.dev/v1alpha1/namespaces/{}/finetuneschedules"
UNREVIEWED = {"finetune.dev/admission": "ignore"}

CONFIG = {"model_name_or_path": "s3://m/tiny", "dataset_name": "s3://d/tiny"}

ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: tenant}
rules:
  - apiGroups: [finetune.dev]
    resources: [finetunejobs, finetuneschedules, finetunejobs/status, finetuneschedules/status]
    verbs: ["*"]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: tenant}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: tenant}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: mallory}]
"""


@dataclass(frozen=True, kw_only=True)
class Answer:
    code: int
    text: str

    @property
    def is_refusal(self) -> bool:
        return self.code >= 400


class Tenant:
    """mallory, with a Role for the two kinds and no other permissions."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        stage.plane.kubectl("apply", "-n", stage.namespace, "-f", "-", input=ROLE)
        self.jobs = JOBS.format(stage.namespace)
        self.schedules = SCHEDULES.format(stage.namespace)

    def send(self, method: str, path: str, text: str) -> Answer:
        """As JSON text: Python cannot serialize objects of this depth."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Content-Type": kind, "Impersonate-User": "mallory"}
        code, said = self._stage.send(method, path, text.encode(), headers)
        while method == "PATCH" and code == HTTPStatus.GATEWAY_TIMEOUT:
            # The API server needs seconds to merge 9,000 levels, and gives up after 34 s.
            code, said = self._stage.send(method, path, text.encode(), headers)
        assert code < 500, said
        assert code not in (401, 403), said
        return Answer(code=code, text=said.decode(errors="replace"))

    def apply(self, name: str, spec: str = "{}", **metadata: Any) -> Answer:
        """A job with these parts of a spec, as JSON text, added to a valid one."""
        return self.send(
            "POST", self.jobs, self._text("FineTuneJob", name, spec_text(spec), metadata)
        )

    def edit(self, name: str, spec: str) -> Answer:
        return self.send("PATCH", f"{self.jobs}/{name}", f'{{"spec": {spec}}}')

    def schedule(self, name: str, spec: str, **metadata: Any) -> Answer:
        """With this complete spec, as JSON text."""
        text = self._text("FineTuneSchedule", name, spec, metadata)
        return self.send("POST", self.schedules, text)

    def clear(self) -> None:
        """Deletes all objects of this tenant, and waits until they are deleted."""
        for path in (self.schedules, self.jobs):
            self.send("DELETE", path, "{}")
            wait_until(lambda path=path: not self._stage.ask("GET", path)["items"], "all is gone")

    def _text(self, kind: str, name: str, spec: str, metadata: Mapping[str, Any]) -> str:
        metadata = {"name": name, "namespace": self._stage.namespace, **metadata}
        body = {"apiVersion": "finetune.dev/v1alpha1", "kind": kind, "metadata": metadata}
        return f'{json.dumps(body)[:-1]}, "spec": {spec}}}'


def spec_text(given: str = "{}") -> str:
    """A job's spec with these parts, as JSON text, in place of those of a valid one."""
    parts = given.strip()[1:-1]
    right = {"config": CONFIG, "output": {"uri": "s3://models/mallory"}}
    wanted = {key: value for key, value in right.items() if f'"{key}":' not in parts}
    others = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in wanted.items()]
    return f"{{{', '.join(filter(None, [*others, parts]))}}}"


class World:
    """Two replicas that review and reconcile, mallory's namespace and that of the neighbours."""

    def __init__(self, stage: Stage, neighbours: Stage, hub: Hub) -> None:
        self.stage = stage
        self.hub = hub
        self.tenant = Tenant(stage)
        self._neighbours = neighbours
        self._number = 0

    @property
    def replicas(self) -> list[Replica]:
        return list(self.stage.replicas.values())

    def require_neighbours_go_on(self) -> None:
        """Checks that another tenant's job is accepted now."""
        self._number += 1
        begin, leader = time.monotonic(), self.stage.leader()
        waited, computed = _waited_for_a_core(), leader.cpu_seconds()
        name = self._neighbours.apply(f"neighbour-{self._number}")
        wait_until(lambda: is_accepted(self._neighbours, name), "another's job is accepted", 60)
        took = time.monotonic() - begin - (_waited_for_a_core() - waited)
        assert took < MOST_SECONDS, f"another's job was accepted after {took:.1f} s"
        computed = leader.cpu_seconds() - computed
        assert computed < MOST_SECONDS, f"the leader computed for {computed:.1f} s meanwhile"
        self._neighbours.ask("DELETE", f"{JOBS.format(self._neighbours.namespace)}/{name}")

    def require_all_is_bounded(self) -> None:
        for replica in self.replicas:
            assert replica.process.poll() is None, replica.log[-3000:]
            assert replica.is_ready()
            assert replica.memory_bytes() < MOST_MEMORY_BYTES
            assert len(replica.metrics_text()) < MOST_METRICS_BYTES

    def apply_large(self, name: str) -> int:
        """Applies a suspended job of 1.3 MB of unique content that no webhook sees; returns the
        response's code.
        """
        noise = random.Random(name).randbytes(650_000).hex()  # noqa: S311 - nothing is secret
        spec = f'{{"suspend": true, "config": {json.dumps({**CONFIG, "junk": noise})}}}'
        return self.tenant.apply(name, spec, labels=UNREVIEWED).code

    def number_told(self) -> int:
        """The number of mallory's jobs that report their problems: without their specs."""
        template = "{range .items[*]}{.status.conditions[0].type}{'\\n'}{end}"
        listed = self.stage.plane.kubectl(
            "get", "ftj", "-n", self.stage.namespace, "-o", f"jsonpath={template}"
        )
        return len([line for line in listed.splitlines() if line])

    def failures(self) -> float:
        """Passes over jobs and schedules that ended with an exception."""
        name = "finetune_operator_reconciles_total"
        return sum(replica.metric(name, result="failed") for replica in self.replicas)

    def lease(self) -> tuple[int, str]:
        """How often it changed hands, and its holder."""
        spec = self.stage.ask("GET", LEASE)["spec"]
        return spec["leaseTransitions"], spec["holderIdentity"]

    def wait_until_told(self, name: str) -> str:
        """The job's message, after the operator has handled its current version."""

        def is_told() -> bool:
            job = self.stage.job(name) or {}
            seen = job.get("status", {}).get("observedGeneration", -1)
            return seen == job["metadata"]["generation"] and reason_of(self.stage, name) != ""

        wait_until(is_told, f"{name} says something", 60)
        told = json.dumps(self.stage.status(name)["conditions"], ensure_ascii=False)
        assert len(told) < LONGEST_MESSAGE
        return told


@contextmanager
def a_world(plane: ControlPlane, folder: Path) -> Iterator[World]:
    """Two replicas with a hub and a known GPU size that review applied objects."""
    namespaces = [f"{who}-{secrets.token_hex(3)}" for who in ("mallory", "neighbours")]
    for namespace in namespaces:
        plane.kubectl("create", "namespace", namespace)
    hostile, others = (Stage(plane, namespace, folder) for namespace in namespaces)
    with Hub().served() as hub:
        asks = {"MODEL_CONFIGS": hub.template, "GPU_MEMORY": "8Gi"}
        asks["PROGRESS_INTERVAL_SECONDS"] = "1"
        environments = [{**each, **asks} for each in reviewed.environments(folder, 2)]
        ports = [each["WEBHOOK_PORT"] for each in environments]
        with (
            hostile.with_replicas(2, environments) as stage,
            reviewed.reviewing(plane, folder, namespaces, ports),
        ):
            others.replicas = stage.replicas
            world = World(stage, others, hub)
            wait_until(lambda: _is_reviewed(world), "jobs are reviewed")
            yield world


def is_accepted(stage: Stage, name: str) -> bool:
    conditions = stage.status(name).get("conditions", [])
    return any(it["type"] == "Accepted" and it["status"] == "True" for it in conditions)


def _is_reviewed(world: World) -> bool:
    path = f"{world.tenant.jobs}?dryRun=All"
    text = world.tenant._text("FineTuneJob", "asked", spec_text('{"config": {"no_key": 1}}'), {})
    return "no_key" in world.tenant.send("POST", path, text).text


def _waited_for_a_core() -> float:
    """Seconds in which any process of this machine had to wait for a core."""
    some = Path("/proc/pressure/cpu").read_text().splitlines()[0]
    return int(some.rpartition("total=")[2]) / 1e6
