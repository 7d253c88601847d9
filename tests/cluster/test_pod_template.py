# SPDX-License-Identifier: Apache-2.0
"""The pod fields of a job, with the real API server, and in one real pod."""

import json
from typing import Any

import pytest
import yaml

from cluster.installation import Installation
from cluster.jobs import EXAMPLE, Jobs, Resource, a_short_job, until

pytestmark = pytest.mark.cluster

EXAMPLES = sorted(EXAMPLE.parent.glob("*.yaml"))
PRIORITY = "finetune-test"


def overlaid(name: str, **pod: Any) -> Resource:
    job = a_short_job(name, steps=2)
    job["spec"]["podTemplate"] = {"spec": pod}
    return job


def dry_run(jobs: Jobs, job: Resource) -> str:
    return jobs.run("apply", "--dry-run=server", "-f", "-", input=json.dumps(job))


def refusal_of(jobs: Jobs, job: Resource) -> str:
    """The refusal of a replica that already reviews jobs: it takes a moment until one does."""
    for _ in until(60):
        try:
            dry_run(jobs, job)
        except RuntimeError as refusal:
            return str(refusal)
    raise AssertionError("it is still not refused")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_api_server_accepts_every_example(jobs: Jobs, path: Any) -> None:
    """Only the service account `default` is allowed here: the guard rail refuses any other."""
    job = yaml.safe_load(path.read_text())
    pod = job["spec"].get("podTemplate", {}).get("spec", {})
    if "serviceAccountName" in pod:
        assert "the platform team sets ALLOWED_SERVICE_ACCOUNTS" in refusal_of(jobs, job)
        del pod["serviceAccountName"]

    assert "dry run" in dry_run(jobs, job)


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        pytest.param(
            {"containers": [{"name": "sidecar"}]}, 'supported values: "trainer"', id="name"
        ),
        pytest.param({"nodeSelector": {"spot": True}}, "nodeSelector.spot", id="a type"),
        pytest.param({"affinity": {"nodeAffinty": {}}}, "nodeAffinty", id="a typo"),
        pytest.param(
            {"containers": [{"name": "trainer", "env": [{"name": "A"}, {"name": "A"}]}]},
            "Duplicate value",
            id="twice the same",
        ),
        pytest.param({"hostNetwork": True}, "restricted Pod Security Standard", id="security"),
        pytest.param(
            {"volumes": [{"name": "x", "hostPath": {"path": "/etc"}}]},
            "the platform team sets ALLOWED_HOST_PATHS",
            id="a directory of the node",
        ),
        pytest.param(
            {"containers": [{"name": "trainer", "env": [{"name": "HOME", "value": "/"}]}]},
            "HOME cannot be set by a job",
            id="a variable of the trainer's own",
        ),
    ],
)
def test_kubectl_apply_reports_fields_that_pods_cannot_have(
    jobs: Jobs, pod: dict[str, Any], words: str
) -> None:
    assert words in refusal_of(jobs, overlaid("refused-pod", **pod))


def test_kubectl_explain_describes_the_overlay(jobs: Jobs) -> None:
    container = "ftj.spec.podTemplate.spec.containers"
    explained = " ".join(jobs.run("explain", "ftj.spec.podTemplate.spec.volumes").split())

    assert "requires a directory that the platform team allows" in explained
    assert "volumeMounts\t<[]Object>" in jobs.run("explain", container)
    assert "nvidia.com/mig-1g.10gb" in jobs.run("explain", "ftj.spec.resources.gpuResource")


@pytest.fixture(scope="module")
def pod(installation: Installation, jobs: Jobs) -> Resource:
    """The pod of a short job with an overlay, after the job's success."""
    installation.kubectl("create", "priorityclass", PRIORITY, "--value=1000")
    job = overlaid(
        "overlaid",
        priorityClassName=PRIORITY,
        nodeSelector={"kubernetes.io/os": "linux"},
        tolerations=[{"key": "gpu", "operator": "Exists"}],
        volumes=[{"name": "extra", "emptyDir": {}}],
        containers=[
            {
                "name": "trainer",
                "env": [{"name": "GREETING", "value": "hello"}],
                "volumeMounts": [{"name": "extra", "mountPath": "/extra"}],
            }
        ],
    )
    job["spec"]["podTemplate"]["metadata"] = {
        "labels": {"example.com/team": "nlp"},
        "annotations": {"example.com/note": "a b"},
    }
    job["spec"]["resources"]["sharedMemory"] = "128Mi"
    name = jobs.apply(job)
    status = jobs.wait_for_end(name)
    assert status["phase"] == "Succeeded", status
    (found,) = jobs.pods(name)
    installation.kubectl("delete", "priorityclass", PRIORITY)
    return found


def test_a_pod_has_the_fields_of_its_overlay_and_the_run_succeeds(pod: Resource) -> None:
    spec, (container,) = pod["spec"], pod["spec"]["containers"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}

    assert pod["metadata"]["labels"]["example.com/team"] == "nlp"
    assert pod["metadata"]["labels"]["finetune.dev/job"] == "overlaid"
    assert pod["metadata"]["annotations"]["example.com/note"] == "a b"
    assert (spec["priorityClassName"], spec["priority"]) == (PRIORITY, 1000)
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert {"name": "GREETING", "value": "hello"} in container["env"]
    assert {"name": "extra", "mountPath": "/extra"} in container["volumeMounts"]
    assert "extra" in volumes
    assert volumes["shared-memory"]["emptyDir"]["sizeLimit"] == "128Mi"
    assert not any("kube-api-access" in name for name in volumes)


def test_an_accepted_job_allows_valid_overlay_edits_and_refuses_invalid_ones(
    jobs: Jobs, pod: Resource
) -> None:
    change = {"spec": {"podTemplate": {"spec": {"priorityClassName": "another"}}}}
    wrong = {"spec": {"podTemplate": {"spec": {"hostPID": True}}}}

    jobs.run("patch", "ftj", "overlaid", "--type=merge", "-p", json.dumps(change))
    with pytest.raises(RuntimeError, match="hostPID: cannot be set by a job"):
        jobs.run("patch", "ftj", "overlaid", "--type=merge", "-p", json.dumps(wrong))

    assert jobs.status("overlaid")["phase"] == "Succeeded"
