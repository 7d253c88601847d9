# SPDX-License-Identifier: Apache-2.0
"""The pods have the job's pod fields, and keep everything that they need to train."""

from typing import Any

from finetune_contract.mounts import COMPILED_CACHES, ENV_RUN_DIGEST
from finetune_operator.job.manifests import build_attempt
from finetune_operator.job.manifests.overlay import apply_overlay
from finetune_operator.job.spec import definition_of, parse_job
from finetune_operator.objects import names
from finetune_spec.pods.reserved import CONTAINER, FOLDERS, VARIABLES, VOLUMES
from support.factories import SETTINGS, a_job, a_job_body

CACHE = {"claimName": "models", "subPath": "team-a"}


def template_of(**spec: Any) -> dict[str, Any]:
    template: dict[str, Any] = build_attempt(a_job(**spec), 1, SETTINGS)[-1]["spec"]["template"]
    return template


def container_of(template: dict[str, Any]) -> dict[str, Any]:
    (container,) = template["spec"]["containers"]
    found: dict[str, Any] = container
    return found


def variables_of(template: dict[str, Any]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container_of(template)["env"]}


def names_in(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["name"] for entry in entries]


PLAIN = template_of()


def test_without_an_overlay_the_pods_are_unchanged() -> None:
    assert template_of(podTemplate={"metadata": {}, "spec": {"containers": []}}) == PLAIN


def test_every_field_of_the_overlay_is_applied_and_the_rest_stays() -> None:
    pod = {
        "priorityClassName": "low",
        "nodeSelector": {"gpu": "h100"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}
        ],
        "runtimeClassName": "nvidia",
        "schedulerName": "other",
        "serviceAccountName": "trainer",
        "imagePullSecrets": [{"name": "registry"}],
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["store"]}],
        "resourceClaims": [{"name": "gpu", "resourceClaimName": "mine"}],
    }

    spec = template_of(podTemplate={"spec": pod})["spec"]

    assert {field: spec[field] for field in pod} == pod
    assert {field: spec[field] for field in PLAIN["spec"]} == PLAIN["spec"]


def test_labels_and_annotations_are_added_to_the_operators_own() -> None:
    metadata = {"labels": {"team": "nlp"}, "annotations": {"sidecar.istio.io/inject": "false"}}
    kueue = {"kueue.x-k8s.io/podset-required-topology": "rack"}

    made = template_of(
        podTemplate={"metadata": metadata}, metadata={"annotations": kueue, "labels": {"a": "b"}}
    )

    assert made["metadata"] == {
        "labels": {**PLAIN["metadata"]["labels"], "team": "nlp"},
        "annotations": {**metadata["annotations"], **kueue},
    }


def test_variables_and_mounts_are_added_after_the_trainers_own() -> None:
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "datasets"}}
    mount = {"name": "data", "mountPath": "/data", "readOnly": True}
    trainer = {
        "name": "trainer",
        "env": [{"name": "NCCL_DEBUG", "value": "INFO"}],
        "envFrom": [{"secretRef": {"name": "wandb"}}],
        "volumeMounts": [mount],
    }
    output = {"uri": "s3://models/x", "credentialsSecretRef": {"name": "bucket"}}

    made = template_of(
        podTemplate={"spec": {"volumes": [volume], "containers": [trainer]}}, output=output
    )

    plain, found = container_of(PLAIN), container_of(made)
    assert names_in(found["env"]) == [*names_in(plain["env"]), "NCCL_DEBUG"]
    assert found["env"][-1:] == trainer["env"]
    assert [it for it in found["env"][:-1] if it not in plain["env"]] == [
        # The output differs, and so does the run document.
        {"name": ENV_RUN_DIGEST, "value": variables_of(made)[ENV_RUN_DIGEST]}
    ]
    assert found["volumeMounts"] == [*plain["volumeMounts"], mount]
    assert made["spec"]["volumes"] == [*PLAIN["spec"]["volumes"], volume]
    # The last source of a variable counts.
    assert found["envFrom"] == [{"secretRef": {"name": "wandb"}}, {"secretRef": {"name": "bucket"}}]
    assert found["securityContext"] == plain["securityContext"]


def test_the_trainers_own_fields_win_over_an_unchecked_overlay() -> None:
    overlay = {
        "metadata": {"labels": {names.LABEL_JOB: "other"}},
        "spec": {
            "hostNetwork": True,
            "securityContext": {},
            "restartPolicy": "Always",
            "volumes": [{"name": "work", "hostPath": {"path": "/"}}],
            "containers": [
                {
                    "name": "trainer",
                    "image": "evil",
                    "env": [{"name": "HOME", "value": "/"}],
                    "volumeMounts": [{"name": "x", "mountPath": "/work"}],
                }
            ],
        },
    }

    assert apply_overlay(PLAIN, overlay) == PLAIN


def test_hub_models_are_cached_in_the_claim() -> None:
    made = template_of(modelCache=CACHE)

    assert made["spec"]["volumes"][-1] == {
        "name": "model-cache",
        "persistentVolumeClaim": {"claimName": "models"},
    }
    assert container_of(made)["volumeMounts"][-1] == {
        "name": "model-cache",
        "mountPath": "/var/cache/finetune",
        "subPath": "team-a",
    }
    assert variables_of(made)["HF_HUB_CACHE"] == "/var/cache/finetune/hub"


def test_compiled_code_is_cached_in_the_claim_for_the_next_attempt() -> None:
    variables = variables_of(template_of(modelCache=CACHE))

    assert variables["TRITON_CACHE_DIR"] == "/var/cache/finetune/triton"
    assert variables["TORCHINDUCTOR_CACHE_DIR"] == "/var/cache/finetune/inductor"


def test_without_a_claim_compiled_code_stays_in_the_pod() -> None:
    assert not variables_of(PLAIN).keys() & {"TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"}


def test_a_job_can_keep_its_compile_cache_private() -> None:
    own = {"name": "TRITON_CACHE_DIR", "value": "/work/triton"}
    overlay = {"spec": {"containers": [{"name": "trainer", "env": [own]}]}}

    made = template_of(modelCache=CACHE, podTemplate=overlay)

    assert container_of(made)["env"].count(own) == 1
    assert variables_of(made)["TRITON_CACHE_DIR"] == "/work/triton"
    assert variables_of(made)["TORCHINDUCTOR_CACHE_DIR"] == "/var/cache/finetune/inductor"


def test_shared_memory_is_set_by_the_job_or_the_platform() -> None:
    for resources, expected in (
        ({}, "1Gi"),
        ({"gpusPerNode": 0}, "1Gi"),
        ({"gpusPerNode": 8}, "8Gi"),  # Each process exchanges its own data.
        ({"sharedMemory": "16Gi"}, "16Gi"),
        ({"gpusPerNode": 8, "sharedMemory": "16Gi"}, "16Gi"),
    ):
        (volume,) = (
            volume
            for volume in template_of(resources=resources)["spec"]["volumes"]
            if volume["name"] == "shared-memory"
        )
        assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": expected}


def test_fields_of_the_trainer_are_refused_in_an_overlay() -> None:
    made = template_of(modelCache=CACHE)
    container = container_of(made)

    assert container["name"] == CONTAINER == names.CONTAINER
    assert {volume["name"] for volume in made["spec"]["volumes"]} == VOLUMES
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == set(FOLDERS)
    ours = {variable["name"] for variable in container["env"]}
    assert ours - COMPILED_CACHES.keys() <= set(VARIABLES)


def test_the_overlay_does_not_define_the_run_and_resources_do() -> None:
    plain = definition_of(a_job_body()["spec"])

    overlaid = a_job_body(podTemplate={"spec": {"priorityClassName": "x"}}, modelCache=CACHE)
    defaulted = a_job_body(
        resources={"nodes": 1, "gpusPerNode": 1, "gpuResource": "nvidia.com/gpu"}
    )
    sliced = a_job_body(resources={"gpuResource": "nvidia.com/mig-1g.10gb"})

    assert definition_of(overlaid["spec"]) == definition_of(defaulted["spec"]) == plain
    assert definition_of(sliced["spec"]) != plain
    assert parse_job(overlaid, SETTINGS).run_id == a_job().run_id


def test_a_secret_cannot_set_a_variable_that_loads_other_code() -> None:
    """The operator cannot read its keys: an explicit variable has precedence over envFrom."""
    sources = [{"secretRef": {"name": "wandb"}}, {"configMapRef": {"name": "x", "optional": True}}]
    made = template_of(podTemplate={"spec": {"containers": [{"name": "x", "envFrom": sources}]}})

    loaders = ("LD_PRELOAD", "LD_AUDIT", "PYTHONSTARTUP", "PYTHONHOME", "GCONV_PATH", "BASH_ENV")
    assert {variables_of(made)[name] for name in loaders} == {""}
