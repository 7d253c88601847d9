# SPDX-License-Identifier: Apache-2.0
"""Pods that their node does not start: missing volumes and Secrets, refusals.

The trainer ends immediately; all other parts are real. The missing part is reported, and the job
continues once it exists.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster import ending_trainer
from cluster.ending_trainer import TAG, a_job
from cluster.installation import Installation
from cluster.jobs import Jobs, message_of
from support.long_form import keeping

pytestmark = pytest.mark.cluster

CERTIFICATES = [{"name": "ca", "configMap": {"name": "company-ca"}}]
MOUNTED = {"volumeMounts": [{"name": "ca", "mountPath": "/certificates"}]}
WITH_VOLUME = {"spec": {"volumes": CERTIFICATES, "containers": [{"name": "trainer", **MOUNTED}]}}
CA = {"kind": "ConfigMap", "metadata": {"name": "company-ca"}, "data": {"ca.crt": ""}}
SECRET = {"kind": "Secret", "metadata": {"name": "not-there-yet"}, "stringData": {"A": "b"}}

WAITS: dict[str, tuple[dict[str, Any], str, dict[str, Any] | None]] = {
    "volume-missing": ({"podTemplate": WITH_VOLUME}, 'configmap "company-ca" not found', CA),
    "claim-missing": (
        {"modelCache": {"claimName": "hub-cache"}},
        'persistentvolumeclaim "hub-cache" not found',
        None,
    ),
    "secret-missing": (
        {"output": {"uri": "s3://m/x", "credentialsSecretRef": {"name": "not-there-yet"}}},
        'secret "not-there-yet" not found',
        SECRET,
    ),
}
"""A job's spec, the text in its status, and the object with which it continues."""


@pytest.fixture(scope="module")
def waiting(installation: Installation, jobs: Jobs) -> Iterator[Jobs]:
    if installation.cluster is None:
        pytest.skip("Another image can be loaded in the tests' own cluster only.")
    ending_trainer.build()
    installation.cluster.load(TAG)
    for name, (spec, _, _) in WAITS.items():
        jobs.apply(a_job(name, jobs.namespace, **spec))
    yield jobs
    jobs.run("delete", "ftj", *WAITS, "--ignore-not-found", "--wait=false")


@pytest.mark.parametrize("name", keeping({"claim-missing", "secret-missing"}, list(WAITS)))
def test_the_status_quotes_the_cluster_on_why_a_pod_waits(waiting: Jobs, name: str) -> None:
    _, words, missing = WAITS[name]

    status = waiting.wait_until(name, lambda s: words in message_of(s), seconds=150, what=words)

    assert status["phase"] == "Starting"
    if missing is not None:
        waiting.run("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", **missing}))
        done = waiting.wait_for_end(name, seconds=300)
        assert (done["phase"], len(done["attempts"])) == ("Succeeded", 1)


@pytest.mark.long
def test_a_pod_refused_by_its_node_uses_up_no_attempt(waiting: Jobs) -> None:
    """The scheduler would not choose this node: the test does, and the kubelet refuses the pod."""
    name = "refused"
    waiting.apply(
        a_job(name, waiting.namespace, podTemplate={"spec": {"nodeSelector": {"no": "such"}}})
    )
    waiting.wait_until(
        name, lambda s: "is not scheduled" in message_of(s), seconds=60, what="a pod that waits"
    )
    (pod,) = waiting.pods(name)
    node = json.loads(waiting.run("get", "nodes", "-o", "json"))["items"][0]["metadata"]["name"]
    bind(waiting, pod["metadata"]["name"], node)

    status = waiting.wait_until(
        name, lambda s: s.get("phase") == "Retrying", seconds=60, what="the refusal"
    )

    (attempt,) = status["attempts"]
    assert (attempt["result"], attempt["reason"]) == ("Interrupted", "PodRejected")
    assert f"node {node}: NodeAffinity" in attempt["message"]
    assert "attempt 1 did not start" in message_of(status)
    waiting.apply(a_job(name, waiting.namespace))
    done = waiting.wait_for_end(name, seconds=180)
    assert done["phase"] == "Succeeded"


def bind(jobs: Jobs, pod: str, node: str) -> None:
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": target}
    path = f"/api/v1/namespaces/{jobs.namespace}/pods/{pod}/binding"
    jobs.run("create", "--raw", path, "-f", "-", input=json.dumps(binding))
