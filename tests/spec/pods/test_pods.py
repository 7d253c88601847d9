# SPDX-License-Identifier: Apache-2.0
"""The pod fields of a job are valid, or reported with the alternative."""

import json
from typing import Any

import pytest
import yaml

from finetune_spec.job import build_context
from finetune_spec.pods import check_pods, find_variables, gpu_bytes_of
from finetune_spec.pods.fields import _FIELDS, POD, ROOT
from finetune_spec.shape import check_shape
from repository.crd_config import CRD
from support.factories import a_job_body

CLAIM = {"name": "data", "persistentVolumeClaim": {"claimName": "datasets"}}
MOUNT = {"name": "data", "mountPath": "/data"}
GIB = 1024**3
TRAINER = f"{POD}.containers[0]"
MOUNTED = f"{TRAINER}.volumeMounts[0]"
NOTES = f"{ROOT}.metadata.annotations"


def of_pod(**pod: Any) -> dict[str, Any]:
    return {"podTemplate": {"spec": pod}}


def of_container(*, volumes: Any = (), **container: Any) -> dict[str, Any]:
    return of_pod(volumes=list(volumes), containers=[{"name": "trainer", **container}])


def of_metadata(**metadata: Any) -> dict[str, Any]:
    return {"podTemplate": {"metadata": metadata}}


def told(spec: dict[str, Any]) -> list[str]:
    return [str(problem) for problem in check_pods(a_job_body(**spec)["spec"])]


def told_of_shape(spec: dict[str, Any]) -> list[str]:
    return [str(problem) for problem in check_shape(a_job_body(**spec))]


def schema_of(*fields: str) -> dict[str, Any]:
    (version,) = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    for field in fields:
        schema = schema["items"] if field == "[]" else schema["properties"][field]
    return schema


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({}, id="nothing"),
        pytest.param(of_metadata(labels={"example.com/team": "nlp"}), id="a label"),
        pytest.param(
            of_metadata(annotations={"sidecar.istio.io/inject": "false"}), id="annotation"
        ),
        pytest.param(of_pod(nodeSelector={"gpu": "h100"}, priorityClassName="low"), id="placement"),
        pytest.param(
            of_pod(tolerations=[{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]),
            id="a toleration",
        ),
        pytest.param(
            of_pod(affinity={"nodeAffinity": {"requiredDuringScheduling": {}}}), id="affinity"
        ),
        pytest.param(of_container(volumes=[CLAIM], volumeMounts=[MOUNT]), id="a claim"),
        pytest.param(
            of_container(
                env=[
                    {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "h", "key": "t"}}},
                    {"name": "NCCL_DEBUG", "value": "INFO"},
                    {"name": "FINETUNE_HANG_SECONDS", "value": ""},
                ],
                envFrom=[{"secretRef": {"name": "wandb"}}, {"configMapRef": {"name": "proxy"}}],
            ),
            id="variables",
        ),
        pytest.param(
            of_container(
                volumes=[{"name": "x", "emptyDir": {}}],
                volumeMounts=[{"name": "x", "mountPath": "/tmpfs"}],
            ),
            id="a folder whose name begins like one of the trainer's",
        ),
        pytest.param({"modelCache": {"claimName": "cache", "subPath": "team-a"}}, id="a cache"),
        pytest.param(
            {
                "resources": {"gpuResource": "none", "claims": [{"name": "gpu"}]},
                **of_pod(resourceClaims=[{"name": "gpu", "resourceClaimName": "mine"}]),
            },
            id="a GPU by a claim",
        ),
    ],
)
def test_fields_that_pods_can_have_are_accepted(spec: dict[str, Any]) -> None:
    assert told_of_shape(spec) == told(spec) == []


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            of_pod(hostNetwork=True),
            (
                f"{POD}.hostNetwork: cannot be set by a job: pods comply with the restricted Pod "
                "Security Standard, which cannot be changed"
            ),
        ),
        (
            of_pod(initContainers=[]),
            f"{POD}.initContainers: cannot be set by a job: the pods contain only the trainer",
        ),
        (
            of_pod(nodeSelectors={}),
            f"{POD}.nodeSelectors: unknown field, did you mean nodeSelector?",
        ),
        (
            of_container(image="x"),
            f"{TRAINER}.image: cannot be set by a job: write spec.image",
        ),
        (
            of_container(command=["bash"]),
            (
                f"{TRAINER}.command: cannot be set by a job: the image's own entrypoint trains: "
                "write spec.config"
            ),
        ),
        (
            of_pod(hostUsers=True),
            (
                f"{POD}.hostUsers: found true, expected false or no value: pods comply with the "
                "restricted Pod Security Standard, which cannot be changed"
            ),
        ),
        (
            of_container(ports=[]),
            (
                f"{TRAINER}.ports: unknown field, expected name, env, envFrom, volumeMounts, "
                "imagePullPolicy"
            ),
        ),
        (
            {"podTemplate": {"metadat": {}}},
            f"{ROOT}.metadat: unknown field, did you mean metadata?",
        ),
        (
            of_metadata(labels={"finetune.dev/job": "other"}),
            (
                f"{ROOT}.metadata.labels.finetune.dev/job: cannot be set by a job: the operator "
                "sets those of finetune.dev"
            ),
        ),
        (
            of_metadata(annotations={"kueue.x-k8s.io/podset-required-topology": "rack"}),
            (
                f"{NOTES}.kueue.x-k8s.io/podset-required-topology: cannot be set by a job: write "
                "it in metadata of the FineTuneJob, from which it is copied"
            ),
        ),
        (
            of_metadata(labels={"team": "a b"}),
            (
                f'{ROOT}.metadata.labels.team: found "a b", expected letters, digits, -, _ and '
                "., with no special character at either end"
            ),
        ),
        (
            of_container(env=[{"name": "HOME", "value": "/"}]),
            (
                f"{TRAINER}.env[0].name: HOME cannot be set by a job: the working directory is the "
                "trainer's home"
            ),
        ),
        (
            of_container(env=[{"name": "HF_HUB_CACHE", "value": "/data"}]),
            (
                f"{TRAINER}.env[0].name: HF_HUB_CACHE cannot be set by a job: write "
                "modelCache: {claimName: ...}"
            ),
        ),
        (
            of_container(
                env=[{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]
            ),
            f"{TRAINER}.env[0]: found value and valueFrom, expected only one of them",
        ),
        (
            of_container(envFrom=[{"prefix": "A_"}]),
            f"{TRAINER}.envFrom[0]: found neither, expected secretRef or configMapRef",
        ),
        (
            of_container(volumes=[CLAIM], volumeMounts=[MOUNT | {"name": "dta"}]),
            (f'{MOUNTED}.name: there is no volume "dta" in {POD}.volumes, did you mean data?'),
        ),
        (
            of_container(volumes=[CLAIM], volumeMounts=[MOUNT | {"mountPath": "/work/"}]),
            (
                f'{MOUNTED}.mountPath: found "/work/": it holds model and checkpoints; '
                "resources.ephemeralStorage sets its size, so choose another directory"
            ),
        ),
        (
            of_container(volumes=[CLAIM], volumeMounts=[MOUNT | {"mountPath": "/run"}]),
            (
                f'{MOUNTED}.mountPath: found "/run", which would hide '
                "/var/run/secrets/finetune.dev or parts of it: it contains the token for "
                "progress reports, so choose another directory"
            ),
        ),
        (
            of_container(volumes=[CLAIM], volumeMounts=[MOUNT | {"mountPath": "data"}]),
            (
                f'{MOUNTED}.mountPath: found "data", expected an absolute '
                "path such as /data, without colons"
            ),
        ),
        (
            of_pod(volumes=[{"name": "nfs", "nfs": {"server": "x", "path": "/"}}]),
            (
                f"{POD}.volumes[0].nfs: pods cannot have this kind of volume: create a "
                "PersistentVolume for it, and mount a persistentVolumeClaim"
            ),
        ),
        (
            of_pod(volumes=[{"name": "x", "emptydir": {}}]),
            f"{POD}.volumes[0].emptydir: unknown kind of volume, did you mean emptyDir?",
        ),
        (
            of_pod(volumes=[CLAIM | {"name": "work"}]),
            f"{POD}.volumes[0].name: work is a volume of the trainer: choose another name",
        ),
        (
            of_pod(volumes=[{"name": "x", "emptyDir": {}, "secret": {}}]),
            (
                f"{POD}.volumes[0]: found emptyDir and secret, expected one of "
                "persistentVolumeClaim, configMap, secret, emptyDir, projected, downwardAPI, "
                "csi, ephemeral, image"
            ),
        ),
        (
            {"resources": {"claims": [{"name": "gpu"}]}},
            f'spec.resources.claims[0].name: there is no "gpu" in {POD}.resourceClaims',
        ),
        (
            {"resources": {"gpuResource": "none", "gpusPerNode": 2}},
            (
                "spec.resources.gpuResource: found none and no claims, but 2 GPUs on each node: "
                "name them in claims"
            ),
        ),
        (
            of_pod(resourceClaims=[{"name": "gpu"}]),
            (
                f"{POD}.resourceClaims[0]: expected one of resourceClaimName and "
                "resourceClaimTemplateName"
            ),
        ),
        (
            {"resources": {"gpuResource": "nvidia.com/mig-1g.10gb", "gpusPerNode": 2}},
            (
                "spec.resources.gpusPerNode: found 2 slices of nvidia.com/mig-1g.10gb: a CUDA "
                "process sees only one of them, and NCCL cannot connect them; request one larger "
                "slice, or more nodes"
            ),
        ),
        (
            {"resources": {"gpuResource": "amd.com/gpu", "gpusPerNode": 2}},
            (
                'spec.resources.gpuResource: found "amd.com/gpu", which names AMD GPUs: the '
                "trainer image is built for NVIDIA GPUs; set spec.image to an image with a ROCm "
                "build of torch, or request nvidia.com/gpu"
            ),
        ),
    ],
    ids=json.dumps,
)
def test_fields_that_pods_cannot_have_are_refused(spec: dict[str, Any], sentence: str) -> None:
    assert told_of_shape(spec) == []
    assert sentence in told(spec)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            of_pod(containers=[{"name": "sidecar"}]),
            f'{TRAINER}.name: found "sidecar", expected trainer',
        ),
        (
            of_pod(containers=[{"name": "trainer"}, {"name": "trainer"}]),
            f"{POD}.containers: found 2 entries, expected at most 1",
        ),
        (
            of_container(env=[{"name": "A"}, {"name": "B"}, {"name": "A"}]),
            (f'{TRAINER}.env[2].name: found "A" a second time, after {TRAINER}.env[0]: remove one'),
        ),
        (
            of_container(env={"A": "1"}),
            (
                f'{TRAINER}.env: found {{"A": "1"}}, expected a list: put a dash in front '
                "of each entry"
            ),
        ),
        (
            of_container(env=[{"name": "A", "value": 1}]),
            f"{TRAINER}.env[0].value: found 1, expected a string: put it in quotes",
        ),
        (
            of_pod(nodeSelector={"spot": True}),
            f"{POD}.nodeSelector.spot: found true, expected a string: put it in quotes",
        ),
        (
            of_container(volumes=[CLAIM], volumeMounts=[MOUNT | {"readOnly": "true"}]),
            (f'{MOUNTED}.readOnly: found "true", expected true or false: remove the quotes'),
        ),
        (
            {"resources": {"gpuResource": "h100"}},
            (
                'spec.resources.gpuResource: found "h100", expected a name such as nvidia.com/gpu, '
                "or none"
            ),
        ),
        (
            {"modelCache": {"claimName": "c", "subPath": "../other"}},
            (
                'spec.modelCache.subPath: found "../other", expected a path below the claim\'s '
                "root, such as team-a"
            ),
        ),
        (
            {"nodeSelector": {"gpu": "h100"}},
            "spec.nodeSelector: unknown field: write podTemplate: {spec: {nodeSelector: ...}}",
        ),
    ],
    ids=json.dumps,
)
def test_a_wrong_shape_is_reported_as_the_api_server_would(
    spec: dict[str, Any], sentence: str
) -> None:
    assert sentence in told_of_shape(spec)


def test_an_unmounted_volume_gets_a_warning() -> None:
    (problem,) = check_pods(a_job_body(**of_pod(volumes=[CLAIM]))["spec"])

    assert problem.is_warning
    assert "data is not mounted" in problem.message


@pytest.mark.parametrize("path", _FIELDS, ids=str)
def test_the_accepted_fields_are_those_of_the_crd(path: str) -> None:
    steps = path.removeprefix("spec.").replace("[0]", ".[]").split(".")

    assert set(schema_of(*steps)["properties"]) == set(_FIELDS[path])


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({}, frozenset(), id="none"),
        pytest.param(of_container(env=[{"name": "WANDB_API_KEY"}]), {"WANDB_API_KEY"}, id="env"),
        pytest.param(of_container(envFrom=[{"secretRef": {"name": "x"}}]), None, id="envFrom"),
        pytest.param(
            {"output": {"uri": "s3://a/b", "credentialsSecretRef": {"name": "x"}}},
            None,
            id="secret",
        ),
    ],
)
def test_config_checks_use_the_variables_of_the_pods(
    spec: dict[str, Any], expected: set[str] | None
) -> None:
    body = a_job_body(**spec)["spec"]

    assert find_variables(body) == expected
    assert build_context(body, "1.16.0").environment == expected


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        pytest.param({}, 80 * GIB, id="the cluster's usual one"),
        pytest.param({"gpuResource": "nvidia.com/mig-1g.10gb"}, 10 * GIB, id="a slice"),
        pytest.param({"gpuResource": "nvidia.com/mig-1g.20gb.me"}, 20 * GIB, id="an odd slice"),
        pytest.param({"gpuResource": "amd.com/gpu"}, None, id="another one"),
    ],
)
def test_the_memory_of_a_gpu_is_derived_from_its_name(
    resources: dict[str, Any], expected: int | None
) -> None:
    assert gpu_bytes_of(resources, 80 * GIB) == expected
