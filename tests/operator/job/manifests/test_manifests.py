# SPDX-License-Identifier: Apache-2.0
import json
import re
from dataclasses import replace
from typing import Any

import pytest

from finetune_contract.run import Run, digest
from finetune_operator.job.manifests import build_attempt
from finetune_spec.variables import BLANK
from support.factories import CONFIG, SETTINGS, a_job

LABELS = {
    "app.kubernetes.io/managed-by": "finetune-operator",
    "finetune.dev/job": "balloon",
    "finetune.dev/run": a_job().run_id,
    "finetune.dev/attempt": "2",
}
OWNER = {
    "apiVersion": "finetune.dev/v1alpha1",
    "kind": "FineTuneJob",
    "name": "balloon",
    "uid": "uid-of-job",
    "controller": True,
}


def build(attempt: int = 2, **given: Any) -> tuple[dict[str, Any], ...]:
    return build_attempt(a_job(**given), attempt, SETTINGS)


def container_of(training_job: dict[str, Any]) -> dict[str, Any]:
    (container,) = training_job["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = container
    return found


def test_the_job_is_created_last() -> None:
    assert [made["kind"] for made in build()] == ["ConfigMap", "Job"]
    assert [made["kind"] for made in build(resources={"nodes": 2})] == [
        "ConfigMap",
        "Service",
        "NetworkPolicy",
        "Job",
    ]


def noted(definition: str) -> dict[str, str]:
    return {
        "finetune.dev/definition": definition[:10],
        "finetune.dev/definition-digest": definition,
        "finetune.dev/adjustments": "{}",
    }


NOTED = noted(a_job().definition)


def test_all_objects_share_name_labels_and_owner() -> None:
    nodes = {"resources": {"nodes": 2}}
    for made in build(**nodes):
        content = made["metadata"]["annotations"].pop("finetune.dev/content")
        assert re.fullmatch(r"[0-9a-f]{64}", content)
        assert made["metadata"] == {
            "namespace": "team",
            "name": "balloon-2",
            "labels": LABELS,
            "ownerReferences": [OWNER],
            "annotations": noted(a_job(**nodes).definition) if made["kind"] == "Job" else {},
        }


def test_the_trainer_reads_the_run_document() -> None:
    config_map = build(runToken="x")[0]

    run = Run.from_json(config_map["data"]["run.json"])

    assert (run.job.namespace, run.job.name, run.job.uid) == ("team", "balloon", "uid-of-job")
    assert (run.attempt, run.config, run.output_uri) == (2, CONFIG, "s3://models/balloon")
    assert run.run_id == a_job(runToken="x").run_id
    assert (run.world.nodes, run.world.processes_per_node) == (1, 1)
    assert config_map["immutable"] is True


def test_nodes_resolve_each_other_through_the_headless_service() -> None:
    config_map, service, _, training_job = build(resources={"nodes": 2, "gpusPerNode": 4})

    world = Run.from_json(config_map["data"]["run.json"]).world

    assert world.size == 8
    assert (world.gpus_per_node, world.gpu_resource) == (4, "nvidia.com/gpu")
    assert world.master_address == "balloon-2-0.balloon-2"
    assert training_job["spec"]["template"]["spec"]["subdomain"] == "balloon-2"
    assert service["spec"] == {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": LABELS,
        "ports": [{"name": "rendezvous", "port": world.master_port}],
    }


def test_a_single_node_replaces_disrupted_pods_and_uses_exit_codes() -> None:
    spec = build()[-1]["spec"]

    assert (spec["completions"], spec["parallelism"], spec["backoffLimit"]) == (1, 1, 0)
    assert "completionMode" not in spec
    disrupted, interrupted, failed = spec["podFailurePolicy"]["rules"]
    assert (disrupted["action"], interrupted["action"], failed["action"]) == (
        *("Ignore", "Ignore", "FailJob"),
    )
    assert interrupted["onExitCodes"]["values"] == [143]


def test_several_nodes_are_one_gang() -> None:
    spec = build(resources={"nodes": 3})[-1]["spec"]

    assert (spec["completions"], spec["parallelism"], spec["backoffLimit"]) == (3, 3, 0)
    assert spec["completionMode"] == "Indexed"
    assert [rule["action"] for rule in spec["podFailurePolicy"]["rules"]] == ["FailJob"]


@pytest.mark.parametrize(
    ("nodes", "deadline", "told"), [(2, 7200, ["7200"]), (1, 7200, []), (2, None, [])]
)
def test_nodes_receive_the_time_they_wait_for_each_other(
    nodes: int, deadline: int | None, told: list[str]
) -> None:
    made = build(resources={"nodes": nodes}, startDeadlineSeconds=deadline)[-1]
    container = made["spec"]["template"]["spec"]["containers"][0]

    assert [
        it["value"] for it in container["env"] if it["name"] == "FINETUNE_START_SECONDS"
    ] == told


def test_a_cpu_jobs_pod_is_rendered_completely() -> None:
    """The complete pod, so that a reviewer of the security settings sees all of it."""
    config_map, training_job = build(resources={"gpusPerNode": 0})
    run_document = config_map["data"]["run.json"]

    assert training_job["spec"]["template"] == {
        "metadata": {"labels": LABELS},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 600,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "fsGroup": 65532,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "trainer",
                    "image": "trainer:1",
                    "imagePullPolicy": "IfNotPresent",
                    "env": [
                        {"name": "HOME", "value": "/work"},
                        {"name": "HF_HOME", "value": "/work/hf"},
                        {"name": "FINETUNE_RUN_DIGEST", "value": digest(run_document)},
                        {"name": "FINETUNE_GRACE_SECONDS", "value": "600"},
                        {
                            "name": "KUBEFLOW_TRAINER_SERVER_URL",
                            "value": "http://finetune-operator.finetune-system.svc:8080"
                            "/apis/finetune.dev/v1alpha1/namespaces/team/finetunejobs/balloon"
                            "/progress",
                        },
                        {
                            "name": "KUBEFLOW_TRAINER_SERVER_TOKEN",
                            "value": "/var/run/secrets/finetune.dev/token",
                        },
                        *({"name": name, "value": ""} for name in BLANK),
                        {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"},
                    ],
                    "resources": {},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "volumeMounts": [
                        {"name": "run", "mountPath": "/etc/finetune", "readOnly": True},
                        {
                            "name": "token",
                            "mountPath": "/var/run/secrets/finetune.dev",
                            "readOnly": True,
                        },
                        {"name": "work", "mountPath": "/work"},
                        {"name": "tmp", "mountPath": "/tmp"},
                        {"name": "shared-memory", "mountPath": "/dev/shm"},
                    ],
                }
            ],
            "volumes": [
                {"name": "run", "configMap": {"name": "balloon-2"}},
                {
                    "name": "token",
                    "projected": {
                        "sources": [
                            {
                                "serviceAccountToken": {
                                    "path": "token",
                                    "audience": "finetune.dev/team/balloon/uid-of-job",
                                    "expirationSeconds": 3600,
                                }
                            }
                        ]
                    },
                },
                {"name": "work", "emptyDir": {}},
                {"name": "tmp", "emptyDir": {}},
                {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
            ],
        },
    }


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        pytest.param({"gpusPerNode": 0}, {}, id="nothing asked, nothing set"),
        pytest.param({"gpusPerNode": 2}, {"limits": {"nvidia.com/gpu": "2"}}, id="gpus are limits"),
        pytest.param(
            {"gpusPerNode": 0, "memory": "4Gi"},
            {"requests": {"memory": "4Gi"}, "limits": {"memory": "4Gi"}},
            id="memory is guaranteed and limited",
        ),
        pytest.param(
            {"gpusPerNode": 0, "cpu": "500m"},
            {"requests": {"cpu": "500m"}},
            id="cpu is not limited",
        ),
        pytest.param(
            {"gpuResource": "nvidia.com/mig-1g.10gb"},
            {"limits": {"nvidia.com/mig-1g.10gb": "1"}},
            id="slices of gpus",
        ),
        pytest.param(
            {"gpuResource": "amd.com/gpu", "gpusPerNode": 4},
            {"limits": {"amd.com/gpu": "4"}},
            id="gpus by another name",
        ),
        pytest.param(
            {"gpuResource": "none", "gpusPerNode": 2, "claims": [{"name": "gpus"}]},
            {"claims": [{"name": "gpus"}]},
            id="gpus by a claim",
        ),
        pytest.param(
            {"gpusPerNode": 0, "ephemeralStorage": "50Gi"},
            {
                "requests": {"ephemeral-storage": "50Gi"},
                "limits": {"ephemeral-storage": "50Gi"},
            },
            id="disk is guaranteed and limited",
        ),
    ],
)
def test_resources_reach_the_container(resources: dict[str, Any], expected: dict[str, Any]) -> None:
    claims = [{"name": "gpus", "resourceClaimTemplateName": "two-gpus"}]

    made = build(resources=resources, podTemplate={"spec": {"resourceClaims": claims}})

    assert container_of(made[-1])["resources"] == expected


def test_credentials_come_from_the_secret_only() -> None:
    output = {"uri": "s3://models/x", "credentialsSecretRef": {"name": "bucket"}}

    made = build(output=output)

    assert container_of(made[-1])["envFrom"] == [{"secretRef": {"name": "bucket"}}]
    assert json.dumps(made).count('"bucket"') == 1


def test_the_jobs_own_image_wins() -> None:
    assert container_of(build(image="mine:2")[-1])["image"] == "mine:2"


def test_kueue_labels_are_copied_to_the_training_job() -> None:
    training_job = build(
        metadata={
            "labels": {"kueue.x-k8s.io/queue-name": "research", "team": "a"},
            "annotations": {
                "kueue.x-k8s.io/podset-required-topology": "rack",
                "kueue.x-k8s.io/max-exec-time": "60",
                "note": "mine",
            },
        }
    )[-1]

    del training_job["metadata"]["annotations"]["finetune.dev/content"]
    assert training_job["metadata"]["labels"] == LABELS | {"kueue.x-k8s.io/queue-name": "research"}
    assert (
        training_job["metadata"]["annotations"]
        == {
            "kueue.x-k8s.io/podset-required-topology": "rack",
            "kueue.x-k8s.io/max-exec-time": "60",
        }
        | NOTED
    )
    template = training_job["spec"]["template"]["metadata"]
    assert template["labels"] == LABELS
    assert template["annotations"] == {"kueue.x-k8s.io/podset-required-topology": "rack"}


def test_a_childs_digest_covers_its_content() -> None:
    """By the name alone, an older object of the same attempt would count as the child."""

    def contents(**given: Any) -> list[str]:
        return [made["metadata"]["annotations"]["finetune.dev/content"] for made in build(**given)]

    nodes = {"nodes": 2, "gpusPerNode": 1}
    config_map, service, policy, training_job = contents(resources=nodes)
    edited = contents(resources=nodes, config=CONFIG | {"learning_rate": 1e-3})
    moved = contents(resources=nodes, podTemplate={"spec": {"priorityClassName": "low"}})

    assert contents(resources=nodes) == [config_map, service, policy, training_job]
    assert edited[0] != config_map
    assert edited[3] != training_job
    assert moved[:3] == [config_map, service, policy]
    assert moved[3] != training_job


def test_gpu_visibility_is_left_to_the_device_plugin_for_pods_with_gpus() -> None:
    for resources in (
        {"gpusPerNode": 1},
        {"gpusPerNode": 0, "claims": [{"name": "gpu"}]},
    ):
        names = {entry["name"] for entry in container_of(build(resources=resources)[-1])["env"]}
        assert "NVIDIA_VISIBLE_DEVICES" not in names


def test_limits_are_added_to_the_requests_and_replace_derived_ones() -> None:
    resources = {
        "gpusPerNode": 2,
        "cpu": 4,
        "memory": "64Gi",
        "ephemeralStorage": "100Gi",
        "limits": {"cpu": "8", "memory": "96Gi", "ephemeralStorage": "200Gi"},
    }
    _, training_job = build(resources=resources)
    pod = training_job["spec"]["template"]["spec"]

    assert pod["containers"][0]["resources"] == {
        "requests": {"cpu": "4", "memory": "64Gi", "ephemeral-storage": "100Gi"},
        "limits": {
            "cpu": "8",
            "memory": "96Gi",
            "ephemeral-storage": "200Gi",
            "nvidia.com/gpu": "2",
        },
    }
    # Some policies require the size at the volume, too.
    on_disk = {it["name"]: it["emptyDir"] for it in pod["volumes"] if it["name"] in ("work", "tmp")}
    assert on_disk == {key: {"sizeLimit": "200Gi"} for key in ("work", "tmp")}


def test_a_limit_alone_does_not_change_the_requests() -> None:
    _, training_job = build(resources={"gpusPerNode": 0, "limits": {"cpu": "2"}})

    (container,) = training_job["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {"limits": {"cpu": "2"}}


def test_a_jobs_deadline_sets_the_pods_deadline_for_a_quota_scope() -> None:
    _, limited = build(activeDeadlineSeconds=3600, terminationGracePeriodSeconds=600)
    _, unlimited = build()

    assert limited["spec"]["template"]["spec"]["activeDeadlineSeconds"] == 3600 + 600 + 300
    assert "activeDeadlineSeconds" not in unlimited["spec"]["template"]["spec"]


def test_pod_fields_that_policies_require_can_be_set() -> None:
    pod_template = {
        "spec": {
            "hostUsers": False,
            "containers": [{"name": "trainer", "imagePullPolicy": "Always"}],
        }
    }
    _, training_job = build(podTemplate=pod_template)
    pod = training_job["spec"]["template"]["spec"]

    assert pod["hostUsers"] is False
    assert pod["containers"][0]["imagePullPolicy"] == "Always"


def test_the_platforms_pull_secrets_precede_the_jobs_own() -> None:
    settings = replace(SETTINGS, pull_secrets=("registry",))
    own = {"spec": {"imagePullSecrets": [{"name": "mine"}, {"name": "registry"}]}}

    for job, names in ((a_job(), ["registry"]), (a_job(podTemplate=own), ["registry", "mine"])):
        *_, training_job = build_attempt(job, 1, settings)
        secrets = training_job["spec"]["template"]["spec"]["imagePullSecrets"]
        assert [secret["name"] for secret in secrets] == names
