# SPDX-License-Identifier: Apache-2.0
"""An attacker has the operator's token: which writes the real API server allows under the chart's
admission policy.
"""

import json
from collections.abc import Callable, Mapping

import pytest

from cluster.jobs import Kubectl
from cluster.replicas import Stage
from cluster.stolen_token import Manifest, a_bare_job, children_of, refusal_of, without_owner
from testbed.control_plane import ControlPlane

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

Change = Callable[[Manifest], object]


KINDS = ("Job", "ConfigMap", "Service", "NetworkPolicy")


@pytest.mark.parametrize("kind", KINDS)
def test_objects_the_operator_creates_for_a_job_are_admitted(
    as_operator: Kubectl, team: str, kind: str
) -> None:
    assert refusal_of(as_operator, children_of(team)[kind]) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_without_a_job_is_refused(as_operator: Kubectl, team: str, kind: str) -> None:
    refusal = refusal_of(as_operator, without_owner(children_of(team)[kind]))

    assert "creates, changes and deletes only" in refusal
    assert "that a FineTuneJob controls" in refusal


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "kube-node-lease"])
def test_nothing_can_be_created_in_kube_namespaces(
    as_operator: Kubectl, kind: str, namespace: str
) -> None:
    owned = children_of(namespace)[kind]

    assert "kube-*" in refusal_of(as_operator, owned)
    assert refusal_of(as_operator, without_owner(owned)) != ""


OWNERS: Mapping[str, list[Manifest]] = {
    "none is listed": [],
    "another kind": [{"apiVersion": "apps/v1", "kind": "Deployment", "controller": True}],
    "the kind of another group": [
        {"apiVersion": "example.com/v1", "kind": "FineTuneJob", "controller": True}
    ],
    "a group that begins alike": [
        {"apiVersion": "finetune.dev.example.com/v1", "kind": "FineTuneJob", "controller": True}
    ],
    "an owner that does not control": [
        {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "controller": False}
    ],
    "an owner that says nothing of that": [
        {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob"}
    ],
    "a schedule": [
        {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneSchedule", "controller": True}
    ],
}


@pytest.mark.parametrize("owner", OWNERS)
def test_an_owner_other_than_a_controlling_job_is_refused(
    as_operator: Kubectl, team: str, owner: str
) -> None:
    references = [{"name": "x", "uid": "1", **it} for it in OWNERS[owner]]
    job = children_of(team)["Job"]
    job["metadata"]["ownerReferences"] = references

    assert "that a FineTuneJob controls" in refusal_of(as_operator, job)


def _pod(job: Manifest) -> Manifest:
    pod: Manifest = job["spec"]["template"]["spec"]
    return pod


def _security(job: Manifest) -> Manifest:
    security: Manifest = _pod(job)["containers"][0]["securityContext"]
    return security


PRIVILEGES: Mapping[str, Change] = {
    "escalation": lambda it: _security(it).update(allowPrivilegeEscalation=True),
    "escalation by default": lambda it: _security(it).pop("allowPrivilegeEscalation"),
    "a container that says nothing": lambda it: _pod(it)["containers"][0].pop("securityContext"),
    "a capability": lambda it: _security(it).update(capabilities={"add": ["SYS_ADMIN"]}),
    "another container": lambda it: _pod(it)["containers"].append({"name": "x", "image": "x"}),
    "an init container": lambda it: _pod(it).update(initContainers=[{"name": "x", "image": "x"}]),
    "root": lambda it: _pod(it)["securityContext"].update(runAsNonRoot=False),
    "nobody in particular": lambda it: _pod(it).pop("securityContext"),
    "the node's network": lambda it: _pod(it).update(hostNetwork=True),
    "the node's processes": lambda it: _pod(it).update(hostPID=True),
    "the node's memory": lambda it: _pod(it).update(hostIPC=True),
    "the node's disk": lambda it: _pod(it)["volumes"].append(
        {"name": "root", "hostPath": {"path": "/"}}
    ),
    "another account": lambda it: _pod(it).update(serviceAccountName="builder"),
    "an account that ends alike": lambda it: _pod(it).update(serviceAccountName="my-trainer-a"),
}


@pytest.mark.parametrize("privilege", PRIVILEGES)
def test_no_pod_of_a_job_gets_privileges_the_operator_does_not_grant(
    as_operator: Kubectl, team: str, privilege: str
) -> None:
    job = children_of(team)["Job"]
    PRIVILEGES[privilege](job)

    assert "pods of the operator's Jobs" in refusal_of(as_operator, job)


SERVICES: Mapping[str, Manifest] = {
    "an address of the cluster": {"clusterIP": ""},
    "another's address": {"externalIPs": ["192.0.2.7"]},
    "a name elsewhere": {"type": "ExternalName", "externalName": "example.com", "clusterIP": ""},
    "a port of every node": {"type": "NodePort", "clusterIP": ""},
}


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_can_attract_other_traffic(
    as_operator: Kubectl, team: str, service: str
) -> None:
    made = children_of(team)["Service"]
    made["spec"] |= SERVICES[service]

    assert "Services are headless" in refusal_of(as_operator, made)


def a_network_policy(namespace: str, selector: Manifest) -> Manifest:
    """One with the owner of an attempt's objects."""
    job = children_of(namespace)["Job"]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": job["metadata"],
        "spec": {"podSelector": selector, "policyTypes": ["Ingress"], "ingress": [{}]},
    }


@pytest.mark.parametrize(
    ("labels", "refusal"),
    [
        ({"finetune.dev/job": "balloon"}, ""),
        ({"app": "database"}, "must select pods of jobs"),
        ({}, "must select pods of jobs"),
    ],
    ids=str,
)
def test_no_network_policy_can_open_other_pods(
    as_operator: Kubectl, team: str, labels: Manifest, refusal: str
) -> None:
    policy = a_network_policy(team, {"matchLabels": labels})

    found = refusal_of(as_operator, policy)
    assert refusal in found if refusal else found == ""


def test_a_service_account_allowed_by_a_guard_rail_is_admitted(
    as_operator: Kubectl, team: str
) -> None:
    overlay = {"spec": {"serviceAccountName": "trainer-a"}}

    assert refusal_of(as_operator, children_of(team, podTemplate=overlay)["Job"]) == ""


def test_objects_of_others_cannot_be_deleted(
    plane: ControlPlane, as_operator: Kubectl, team: str
) -> None:
    plane.kubectl("create", "configmap", "theirs", "-n", team)

    with pytest.raises(RuntimeError, match="creates, changes and deletes only configmaps"):
        as_operator("delete", "configmap", "theirs", "-n", team)
    with pytest.raises(RuntimeError, match=r"kube-\*"):
        as_operator(*("delete", "configmap", "-n", "kube-system"), _a_configmap_of_kube(plane))
    assert "theirs" in plane.kubectl("get", "configmap", "theirs", "-n", team, "-o", "name")


def totals(name: str, namespace: str) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def test_the_operators_totals_can_be_created_without_an_owner(
    plane: ControlPlane, as_operator: Kubectl
) -> None:
    # A replica of another test may have created it.
    kept = ("configmap", "finetune-operator-totals", "--namespace", "finetune-system")
    plane.kubectl("delete", *kept, "--ignore-not-found")

    assert refusal_of(as_operator, totals("finetune-operator-totals", "finetune-system")) == ""


@pytest.mark.parametrize(
    ("name", "namespace"),
    [("finetune-operator-totals", "default"), ("another", "finetune-system")],
)
def test_no_other_object_can_be_created_without_an_owner(
    as_operator: Kubectl, name: str, namespace: str
) -> None:
    assert "deletes only configmaps" in refusal_of(as_operator, totals(name, namespace))


STRAYS: Mapping[str, tuple[Manifest, str]] = {
    "what a backup brought back": ({}, ""),
    "another tool's": ({"app.kubernetes.io/managed-by": "helm"}, "deletes only"),
    "one with the name of a job alone": ({"finetune.dev/attempt": None}, "deletes only"),
}


@pytest.mark.parametrize("stray", STRAYS)
def test_an_orphan_that_the_operator_created_can_be_deleted(
    plane: ControlPlane, as_operator: Kubectl, team: str, stray: str
) -> None:
    labels, refusal = STRAYS[stray]
    made = without_owner(children_of(team)["ConfigMap"])
    merged = {**made["metadata"]["labels"], **labels}
    made["metadata"]["labels"] = {key: it for key, it in merged.items() if it is not None}
    plane.kubectl("apply", "-f", "-", input=json.dumps(made))
    deletion = ("delete", "configmap", made["metadata"]["name"], "-n", team, "--dry-run=server")

    if refusal:
        with pytest.raises(RuntimeError, match=refusal):
            as_operator(*deletion)
    else:
        as_operator(*deletion)


@pytest.mark.parametrize("is_controlled", [True, False])
def test_the_operator_can_delete_only_pods_without_an_owner(
    plane: ControlPlane, as_operator: Kubectl, team: str, *, is_controlled: bool
) -> None:
    job = children_of(team)["Job"]
    pod = {"apiVersion": "v1", "kind": "Pod", **job["spec"]["template"]}
    pod["metadata"] = {**pod["metadata"], "name": "balloon-1-abcde", "namespace": team}
    if is_controlled:
        # Any existing object: the garbage collector would delete the pod of a Job that does not
        # exist.
        plane.kubectl("create", "configmap", "owner", "-n", team)
        uid = plane.kubectl(
            *("get", "configmap", "owner", "-n", team, "-o", "jsonpath={.metadata.uid}")
        )
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
        pod["metadata"]["ownerReferences"] = [{**owner, "controller": True}]
    plane.kubectl("create", "-f", "-", input=json.dumps(pod))
    deletion = ("delete", "pod", "balloon-1-abcde", "-n", team, "--dry-run=server")

    if is_controlled:
        with pytest.raises(RuntimeError, match="deletes only pods"):
            as_operator(*deletion)
    else:
        as_operator(*deletion)


def _a_configmap_of_kube(plane: ControlPlane) -> str:
    found = plane.kubectl("get", "configmaps", "-n", "kube-system", "-o", "name").split()
    return found[0].partition("/")[2]


def test_a_job_without_a_schedule_can_be_neither_created_nor_deleted(
    stage: Stage, as_operator: Kubectl
) -> None:
    stage.apply("theirs")
    stray = stage.job("theirs") or {}
    stray = {**stray, "metadata": {"name": "stray", "namespace": stage.namespace}, "status": {}}

    assert "that a FineTuneSchedule controls" in refusal_of(as_operator, stray)
    with pytest.raises(RuntimeError, match="that a FineTuneSchedule controls"):
        as_operator("delete", "finetunejob", "theirs", "-n", stage.namespace)


def test_other_accounts_are_not_restricted(plane: ControlPlane, team: str) -> None:
    assert refusal_of(plane.kubectl, a_bare_job(team)) == ""
