# SPDX-License-Identifier: Apache-2.0
"""The pod for downloads: it has the attempt's permissions, and none of the training's resources."""

from typing import Any

from finetune_cli.cluster.results_pod import build_pod
from finetune_operator.job.manifests import build_attempt
from support.factories import SETTINGS, a_job

JOB = {
    "apiVersion": "finetune.dev/v1alpha1",
    "kind": "FineTuneJob",
    "metadata": {"name": "balloon", "uid": "uid-of-job"},
}
MANY_GPUS = {
    "resources": {"nodes": 2, "gpusPerNode": 8, "memory": "640Gi"},
    "output": {"uri": "s3://models/x", "credentialsSecretRef": {"name": "object-store"}},
    "modelCache": {"claimName": "hub"},
    "podTemplate": {
        "spec": {
            "serviceAccountName": "reads-the-bucket",
            "nodeSelector": {"pool": "gpu"},
            "runtimeClassName": "nvidia",
            "imagePullSecrets": [{"name": "registry"}],
            "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
            "containers": [{"volumeMounts": [{"name": "ca", "mountPath": "/ca"}]}],
        }
    },
}


def a_pod(**given: Any) -> dict[str, Any]:
    """Built from the operator's objects of a job."""
    *_, batch_job = build_attempt(a_job(**given), 1, SETTINGS)
    return build_pod(JOB, batch_job)


def test_the_results_pod_has_the_attempts_access_and_requests_no_gpu() -> None:
    spec = a_pod(**MANY_GPUS)["spec"]
    (container,) = spec["containers"]

    assert spec["serviceAccountName"] == "reads-the-bucket"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert {"nodeSelector", "runtimeClassName", "subdomain"}.isdisjoint(spec)
    assert container["envFrom"] == [{"secretRef": {"name": "object-store"}}]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert "nvidia.com/gpu" not in str(container["resources"])


def test_the_results_pod_mounts_no_large_or_deletable_volume() -> None:
    spec = a_pod(**MANY_GPUS)["spec"]
    (container,) = spec["containers"]

    assert [volume["name"] for volume in spec["volumes"]] == ["work", "tmp", "ca"]
    assert [mount["name"] for mount in container["volumeMounts"]] == ["work", "tmp", "ca"]


def test_the_results_pod_ends_after_an_hour_or_with_its_job() -> None:
    pod = a_pod()
    (owner,) = pod["metadata"]["ownerReferences"]

    assert owner["uid"] == "uid-of-job"
    assert pod["spec"]["activeDeadlineSeconds"] == 3600
    # Otherwise the operator would treat it as one of the attempt's.
    assert not any("finetune.dev" in label for label in pod["metadata"]["labels"])


def test_the_results_pod_sets_the_limits_that_the_attempts_quota_requires() -> None:
    limits = {"cpu": "8", "ephemeralStorage": "200Gi"}
    demanding = {"resources": {"ephemeralStorage": "100Gi", "limits": limits}}

    (container,) = a_pod(**demanding)["spec"]["containers"]
    (usual,) = a_pod()["spec"]["containers"]

    assert container["resources"] == {
        "requests": {"cpu": "100m", "memory": "256Mi", "ephemeral-storage": "100Gi"},
        "limits": {"memory": "1Gi", "cpu": "1", "ephemeral-storage": "200Gi"},
    }
    assert set(usual["resources"]["limits"]) == {"memory"}
