# SPDX-License-Identifier: Apache-2.0
"""No variable, annotation, mount or volume gives a pod other code, devices or identities."""

from typing import Any

import pytest

from finetune_spec.pods import check_pods
from finetune_spec.pods.fields import POD, ROOT
from support.factories import a_job_body

CLAIM = {"name": "data", "persistentVolumeClaim": {"claimName": "datasets"}}
MOUNT = {"name": "data", "mountPath": "/data"}
TRAINER = f"{POD}.containers[0]"
MOUNTED = f"{TRAINER}.volumeMounts[0]"


def of_container(*, volumes: Any = (), **container: Any) -> dict[str, Any]:
    pod = {"volumes": list(volumes), "containers": [{"name": "trainer", **container}]}
    return {"podTemplate": {"spec": pod}}


def of_metadata(**metadata: Any) -> dict[str, Any]:
    return {"podTemplate": {"metadata": metadata}}


def told(spec: dict[str, Any]) -> list[str]:
    return [str(problem) for problem in check_pods(a_job_body(**spec)["spec"])]


def of_mount(place: str, **mount: Any) -> dict[str, Any]:
    return of_container(volumes=[CLAIM], volumeMounts=[MOUNT | {"mountPath": place, **mount}])


@pytest.mark.parametrize(
    "name",
    [
        *("NVIDIA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HABANA_VISIBLE_DEVICES"),
        *("ASCEND_VISIBLE_DEVICES", "NEURON_RT_VISIBLE_CORES", "TPU_VISIBLE_CHIPS"),
        *("NVIDIA_IMEX_CHANNELS", "NVIDIA_MIG_CONFIG_DEVICES", "ZE_AFFINITY_MASK"),
        *("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_BIND_NOW", "PYTHONSTARTUP", "PYTHONUSERBASE"),
        *("PYTHONPATH", "PYTHONPYCACHEPREFIX", "GCONV_PATH", "BASH_ENV", "CUDA_INJECTION64_PATH"),
        *("OPENSSL_CONF", "GLIBC_TUNABLES", "FINETUNE_RUN_DIGEST"),
    ],
)
def test_a_job_cannot_set_a_variable_that_gives_its_pod_other_code_or_devices(name: str) -> None:
    (sentence,) = told(of_container(env=[{"name": name, "value": "all"}]))

    assert sentence.startswith(f"{TRAINER}.env[0].name: {name} cannot be set by a job: ")


@pytest.mark.parametrize(
    "name",
    [
        *("CUDA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "PYTHONUNBUFFERED", "NCCL_DEBUG"),
        *("PYTHONHASHSEED", "AWS_ENDPOINT_URL", "LDAP_SERVER", "MY_ENV", "CUDA_LAUNCH_BLOCKING"),
    ],
)
def test_a_variable_with_a_similar_name_is_accepted(name: str) -> None:
    assert told(of_container(env=[{"name": name, "value": "1"}])) == []


@pytest.mark.parametrize(
    "name",
    [
        *("cdi.k8s.io/gpu", "nvidia.cdi.k8s.io/all", "devices.nri.io/container.trainer"),
        *("io.kubernetes.cri-o.Devices", "cpu-load-balancing.crio.io/x", "CDI.k8s.io/x"),
        *("io.katacontainers.config.hypervisor.kernel_params", "ulimits.nri.containerd.io/pod"),
        "container.apparmor.security.beta.kubernetes.io/trainer",
    ],
)
def test_an_annotation_that_gives_a_container_devices_is_refused(name: str) -> None:
    (sentence,) = told(of_metadata(annotations={name: "nvidia.com/gpu=all"}))

    path = f"{ROOT}.metadata.annotations.{name}"
    assert sentence.startswith(f"{path}: cannot be set by a job: container runtimes grant devices")


@pytest.mark.parametrize(
    "place",
    [
        *("/opt/finetune/src/finetune_trainer", "/opt", "/opt/finetune/", "/usr", "/usr/lib/x"),
        *("/opt/finetune/lib/python3.11/site-packages/torch/__init__.py", "//usr//lib", "/lib64"),
        *("/home/me/.venv/lib/python3.12/site-packages", "/usr/lib/python3/dist-packages/x.py"),
        *("/etc/ld.so.preload", "/etc", "/etc/cdi", "/run/cdi", "/proc/self", "/usr/../bin"),
        *("/var/run/nvidia-container-devices/all", "/usr/local/nvidia/lib64", "/usr/local"),
    ],
)
def test_a_mount_over_code_is_refused(place: str) -> None:
    (sentence,) = told(of_mount(place, subPath="x"))

    assert sentence.startswith(f"{MOUNTED}.mountPath: found ")
    assert sentence.endswith(", so choose another directory")


@pytest.mark.parametrize(
    "place",
    [
        "/etc/ssl/certs",
        "/opt/data",
        "/usr/share/ca-certificates",
        "/libraries",
        "/data/lib",
        "/mnt",
    ],
)
def test_a_mount_in_another_directory_is_accepted(place: str) -> None:
    assert told(of_mount(place)) == []


def of_token(**token: Any) -> dict[str, Any]:
    source = {"serviceAccountToken": {"path": "token", **token}}
    return of_container(
        volumes=[{"name": "data", "projected": {"sources": [{"secret": {}}, source]}}],
        volumeMounts=[MOUNT],
    )


@pytest.mark.parametrize(
    "audience",
    [
        *(
            None,
            "",
            "api",
            "https://kubernetes.default.svc",
            "https://kubernetes.default.svc.local",
        ),
        *("https://container.googleapis.com/v1/projects/p/locations/l/clusters/c", "k3s"),
        *("https://x.hcp.westeurope.azmk8s.io", "sts.amazonaws.com.evil.example", "vault"),
        "https://oidc.eks.eu-west-1.amazonaws.com/id/x",
    ],
)
def test_a_volume_with_a_token_valid_for_the_api_server_is_refused(audience: str | None) -> None:
    (sentence,) = told(of_token(**({} if audience is None else {"audience": audience})))

    path = f"{POD}.volumes[0].projected.sources[1].serviceAccountToken.audience"
    assert sentence.startswith(f"{path}: found ")
    assert "expected that of a cloud's token service, such as sts.amazonaws.com" in sentence


@pytest.mark.parametrize(
    "audience",
    ["sts.amazonaws.com", "api://AzureADTokenExchange", "my-project.svc.id.goog"],
)
def test_a_cloud_providers_token_can_be_mounted(audience: str) -> None:
    assert told(of_token(audience=audience)) == []


def test_a_volume_with_a_cluster_certificate_is_refused() -> None:
    sources = [{"podCertificate": {"signerName": "kubernetes.io/kube-apiserver-client-pod"}}]
    (sentence,) = told(
        of_container(
            volumes=[{"name": "data", "projected": {"sources": sources}}], volumeMounts=[MOUNT]
        )
    )

    assert "pods have no certificates of the cluster" in sentence


@pytest.mark.parametrize(
    ("projected", "refused"),
    [
        ({"sources": 1}, 0),
        ({"sources": ["x", None]}, 0),
        ({"sources": [{"serviceAccountToken": 1}]}, 1),
        ({"sources": [{"serviceAccountToken": {"audience": 7}}]}, 1),
    ],
)
def test_a_volume_of_any_shape_is_checked(projected: Any, refused: int) -> None:
    volume = {"name": "data", "projected": projected}

    assert len(told(of_container(volumes=[volume], volumeMounts=[MOUNT]))) == refused
