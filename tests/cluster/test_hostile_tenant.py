# SPDX-License-Identifier: Apache-2.0
"""A tenant who may only create jobs and schedules, and means harm, on a real control plane.

Whatever that tenant applies: the leader leads on, the next tenant's job begins, memory and metrics
stay bounded, and the hostile job says what is wrong with it. No node: pods stay Pending.
"""

import json
import random
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.replicas import JOBS, Stage, is_begun, message_of, reason_of, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

MOST_MEMORY_BYTES = 400 * 1024 * 1024
"""Of the 512 MiB that the chart gives a replica."""
MOST_METRICS_BYTES = 1024 * 1024
SECONDS = 30
"""Within which another tenant's job begins: five on a machine that does nothing else."""

LEASE = "/apis/coordination.k8s.io/v1/namespaces/finetune-system/leases/finetune-operator"
SCHEDULES = "/apis/finetune.dev/v1alpha1/namespaces/{}/finetuneschedules"
ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: tenant}
rules:
  - apiGroups: [finetune.dev]
    resources: [finetunejobs, finetuneschedules]
    verbs: ["*"]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: tenant}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: tenant}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: mallory}]
"""


CONFIG = {"model_name_or_path": "s3://m/tiny", "dataset_name": "s3://d/tiny"}


class Tenant:
    """mallory, with a Role for the two kinds and nothing else."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        stage.plane.kubectl("apply", "-n", stage.namespace, "-f", "-", input=ROLE)

    def send(self, method: str, path: str, text: str, kind: str = "application/json") -> int:
        """The code of the API server's answer: a refusal is as good as a condition."""
        request = urllib.request.Request(
            f"{self.stage._server}{path}",
            method=method,
            data=text.encode(),
            headers={"Content-Type": kind, "Impersonate-User": "mallory"},
        )
        credentials = self.stage._credentials
        try:
            with urllib.request.urlopen(request, context=credentials, timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refusal:
            if refusal.code not in (400, 404, 413, 422):
                raise
            return refusal.code

    def apply(self, name: str, spec: str = "{}", **metadata: Any) -> int:
        """A job with these parts of a spec, as JSON text, in place of those of a right one."""
        metadata |= {"name": name, "namespace": self.stage.namespace}
        body = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": metadata}
        right = {"config": CONFIG, "output": {"uri": f"s3://models/{name}"}}
        # As text: Python writes nothing that is so deep.
        given = spec.strip()[1:-1]
        parts = [f'"{key}": {json.dumps(value)}' for key, value in right.items()]
        wanted = [part for part in parts if part.split(":")[0] not in given]
        text = f'{json.dumps(body)[:-1]}, "spec": {{{", ".join(filter(None, [*wanted, given]))}}}}}'
        return self.send("POST", JOBS.format(self.stage.namespace), text)


def a_config(value: str) -> str:
    """A spec with this JSON text as `model_init_kwargs`."""
    return f'{{"config": {json.dumps(CONFIG)[:-1]}, "model_init_kwargs": {value}}}}}'


def nested(levels: int, opening: str = '{"a":', closing: str = "}") -> str:
    return opening * levels + "1" + closing * levels


HOSTILE = {
    "nested 850 deep": a_config(nested(850)),
    "nested 1100 deep": a_config(nested(1100)),
    "nested 9000 deep": a_config(nested(9000)),
    "lists 9000 deep": a_config('{"a": ' + nested(9000, "[", "]") + "}"),
    "text where a mapping stands": a_config(json.dumps("a" * 25_000)),
    "spaces where a mapping stands": a_config(json.dumps(" " * 25_000)),
    "a deadline of 10^12 s": '{"activeDeadlineSeconds": 1000000000000}',
    "a time to live of 10^18 s": '{"ttlSecondsAfterFinished": 1000000000000000000}',
    "a start deadline of 10^18 s": '{"startDeadlineSeconds": 1000000000000000000}',
    "a config of 1 MiB": a_config(json.dumps({"text": "x" * 1_060_000})),
    "a config of 300,000 mappings": a_config('{"a": [' + ",".join(["{}"] * 300_000) + "]}"),
}


HARMLESS = {
    "a pod template 3000 deep": '{"podTemplate": {"spec": {"affinity": ' + nested(3000) + "}}}",
    "an annotation of 200 kB": "{}",
}
"""The API server drops what the schema does not have, and nobody reads what is left."""


@pytest.fixture
def tenant(stage: Stage) -> Tenant:
    return Tenant(stage)


@pytest.fixture(autouse=True)
def all_is_well(request: pytest.FixtureRequest, stage: Stage) -> Iterator[None]:
    """What must hold whatever was done."""
    before = lease(stage)
    yield
    other = stage.apply("innocent")
    wait_until(lambda: is_begun(stage, other), "another's job begins", SECONDS)
    for replica in stage.replicas.values():
        assert replica.process.poll() is None, replica.log[-3000:]
        assert replica.is_ready()
        assert memory_of(replica.process.pid) < MOST_MEMORY_BYTES
        with urllib.request.urlopen(f"http://{replica.address}/metrics", timeout=5) as answer:
            assert len(answer.read()) < MOST_METRICS_BYTES
    if "edit" not in request.fixturenames:
        assert lease(stage) == before


def lease(stage: Stage) -> tuple[int, str]:
    spec = stage.ask("GET", LEASE)["spec"]
    return spec["leaseTransitions"], spec["holderIdentity"]


def memory_of(pid: int) -> int:
    """What the process holds now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_job_is_refused_or_says_what_is_wrong_with_it(
    tenant: Tenant, stage: Stage, kind: str
) -> None:
    if tenant.apply("hostile", HOSTILE[kind]) >= 400:
        return

    wait_until(lambda: reason_of(stage, "hostile") != "", "it says something", SECONDS)
    message = message_of(stage, "hostile")
    assert reason_of(stage, "hostile") in ("InvalidSpec", "InternalError"), message
    assert message
    assert len(message) < 4000


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_is_only_large_or_dropped_is_a_job_like_any_other(
    tenant: Tenant, stage: Stage, kind: str
) -> None:
    tenant.apply("odd", HARMLESS[kind], annotations={"note": "x" * 200_000})

    wait_until(lambda: reason_of(stage, "odd") != "", "it says something", SECONDS)


def test_a_replica_comes_up_again_beside_hostile_jobs(tenant: Tenant, stage: Stage) -> None:
    for number, spec in enumerate(HOSTILE.values()):
        tenant.apply(f"hostile-{number}", spec)
    follower = stage.other(stage.leader())

    follower.kill()
    follower.start()

    wait_until(follower.is_ready, "it is ready again")


def test_many_jobs_of_1_mb_do_not_fill_a_replica(tenant: Tenant, stage: Stage) -> None:
    chance = random.Random(1)  # noqa: S311 - nothing is secret
    for number in range(40):
        text = json.dumps({"large": chance.randbytes(450_000).hex()})
        spec = a_config(text)[:-1] + ', "suspend": true}'
        assert tenant.apply(f"large-{number}", spec) == 201
    follower = stage.other(stage.leader())

    follower.kill()
    follower.start()

    wait_until(follower.is_ready, "it is ready again")
    wait_until(lambda: reason_of(stage, "large-39") != "", "the last was looked at")


OWNERS: dict[str, Any] = {
    "taken off": [],
    "another's": [
        {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTuneSchedule",
            "name": "nightly",
            "uid": "00000000-0000-0000-0000-000000000000",
            "controller": True,
        }
    ],
}


@pytest.mark.parametrize("owner", OWNERS)
def test_games_with_owner_references_do_not_kill_the_schedule(
    tenant: Tenant, stage: Stage, owner: str
) -> None:
    path, spec = SCHEDULES.format(stage.namespace), a_schedule(stage.namespace)
    assert tenant.send("POST", path, json.dumps(spec)) == 201
    jobs = JOBS.format(stage.namespace)

    def made() -> list[Any]:
        return list(stage.ask("GET", jobs)["items"])

    wait_until(lambda: bool(made()), "a job is made")
    name = made()[0]["metadata"]["name"]
    patch = json.dumps({"metadata": {"ownerReferences": OWNERS[owner]}})
    merge = "application/merge-patch+json"
    tenant.send("PATCH", f"{jobs}/{name}", patch, merge)
    tenant.send("DELETE", f"{jobs}/{name}", "{}")

    def is_looked_after() -> bool:
        status = stage.ask("GET", f"{path}/nightly")["status"]
        active = [it["name"] for it in status.get("active", ())]
        return name not in active and bool(active)

    wait_until(is_looked_after, "its next job is made", 150)
    tenant.send("DELETE", f"{path}/nightly", "{}")


def a_schedule(namespace: str) -> dict[str, Any]:
    job = {"config": CONFIG, "output": {"uri": "s3://models/nightly"}}
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneSchedule",
        "metadata": {"namespace": namespace, "name": "nightly"},
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": job}},
    }


EDITS: dict[str, dict[str, Any] | None] = {
    "no spec": None,
    "no duration": {"holderIdentity": "ghost", "leaseDurationSeconds": None},
    "68 years": {"holderIdentity": "ghost", "leaseDurationSeconds": 2**31 - 1},
    "a long holder": {"holderIdentity": "x" * 10_000},
    "times of another age": {"holderIdentity": "g", "renewTime": "9999-12-31T23:59:59.999999Z"},
    "all transitions": {"holderIdentity": "ghost", "leaseTransitions": 2**31 - 1},
}


@pytest.mark.parametrize("edit", EDITS)
def test_whatever_an_admin_wrote_into_the_lease_somebody_leads_again(
    stage: Stage, edit: str
) -> None:
    stage.ask("PATCH", LEASE, {"spec": EDITS[edit]})

    wait_until(lambda: stage.find_leader() is not None, "somebody leads", 90)
    name = stage.apply("after-the-edit")
    wait_until(lambda: is_begun(stage, name), "and works")
