# SPDX-License-Identifier: Apache-2.0
"""The pod template of an attempt: meets the `restricted` Pod Security Standard. No I/O here."""

from datetime import timedelta

from finetune_contract.mounts import (
    COMPILED_CACHES,
    ENV_GRACE_SECONDS,
    ENV_PROGRESS_TOKEN,
    ENV_PROGRESS_URL,
    ENV_RUN_DIGEST,
    ENV_START_SECONDS,
    MODEL_CACHE_FOLDER,
    RUN_FOLDER,
    TOKEN_FILE,
    TOKEN_FOLDER,
    WORK_FOLDER,
    progress_audience,
)
from finetune_operator.job.manifests.metadata import build_labels, kueue_podset_entries
from finetune_operator.job.manifests.overlay import apply_overlay, variables_in
from finetune_operator.job.spec import FineTuneJob
from finetune_operator.objects.names import CONTAINER, FINETUNE_JOBS, child_name
from finetune_operator.objects.raw import Manifest
from finetune_operator.settings import Settings
from finetune_spec.quantities import parse_quantity, render_bytes
from finetune_spec.variables import BLANK

TRAINER_UID = 65532
"""A number, because the kubelet cannot determine whether a named user is root."""

TOKEN_SECONDS = 3600

DEADLINE_MARGIN = timedelta(minutes=5)
"""How much later than the job's deadline and grace period a pod ends by itself."""


def build_pod_template(
    job: FineTuneJob, attempt: int, settings: Settings, run_digest: str
) -> Manifest:
    metadata: Manifest = {"labels": build_labels(job, attempt)}
    if annotations := kueue_podset_entries(dict(job.annotations)):
        metadata["annotations"] = annotations
    spec: Manifest = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": grace_seconds(job),
        "automountServiceAccountToken": False,
        # Variables for every Service of the namespace would fill the environment.
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": TRAINER_UID,
            "runAsGroup": TRAINER_UID,
            "fsGroup": TRAINER_UID,
            # Otherwise the kubelet would check every file of a claim each time.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_build_container(job, settings, run_digest)],
        "volumes": _build_volumes(job, attempt, settings),
    }
    if job.active_deadline is not None:
        # The operator ends the job earlier. This deadline counts for quotas of the scope
        # Terminating, and applies if the operator is no longer installed.
        spec["activeDeadlineSeconds"] = pod_deadline_seconds(job.active_deadline, job)
    if settings.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in settings.pull_secrets]
    if job.resources.nodes > 1:
        spec["subdomain"] = child_name(job.name, attempt)
    return apply_overlay({"metadata": metadata, "spec": spec}, job.pod_template)


def _build_container(job: FineTuneJob, settings: Settings, run_digest: str) -> Manifest:
    container: Manifest = {
        "name": CONTAINER,
        "image": job.image,
        "imagePullPolicy": "IfNotPresent",
        "env": [
            {"name": "HOME", "value": WORK_FOLDER},
            {"name": "HF_HOME", "value": f"{WORK_FOLDER}/hf"},
            {"name": ENV_RUN_DIGEST, "value": run_digest},
            {"name": ENV_GRACE_SECONDS, "value": str(grace_seconds(job))},
            {"name": ENV_PROGRESS_URL, "value": progress_url(job, settings)},
            {"name": ENV_PROGRESS_TOKEN, "value": f"{TOKEN_FOLDER}/{TOKEN_FILE}"},
            # Set here, they override values from a Secret or ConfigMap.
            *({"name": name, "value": ""} for name in BLANK),
            *_without_devices(job),
            *_waiting_for_nodes(job),
        ],
        "resources": _build_resources(job),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "run", "mountPath": RUN_FOLDER, "readOnly": True},
            {"name": "token", "mountPath": TOKEN_FOLDER, "readOnly": True},
            {"name": "work", "mountPath": WORK_FOLDER},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - in the container
            {"name": "shared-memory", "mountPath": "/dev/shm"},  # noqa: S108 - in the container
        ],
    }
    if job.model_cache is not None:
        mount = {"name": "model-cache", "mountPath": MODEL_CACHE_FOLDER}
        if job.model_cache.sub_path is not None:
            mount["subPath"] = job.model_cache.sub_path
        container["volumeMounts"].append(mount)
        # Only the directory that the hub's library locks; HF_HOME would share code and tokens too.
        container["env"].append({"name": "HF_HUB_CACHE", "value": f"{MODEL_CACHE_FOLDER}/hub"})
        container["env"] += _build_compiled_caches(job)
    if job.credentials_secret is not None:
        container["envFrom"] = [{"secretRef": {"name": job.credentials_secret}}]
    return container


def _shared_memory(job: FineTuneJob, settings: Settings) -> str:
    """Each process adds NCCL segments, and data loader workers of its own."""
    if job.resources.gpus_per_node < 2:
        return settings.shared_memory
    return render_bytes(parse_quantity(settings.shared_memory) * job.resources.gpus_per_node)


def _waiting_for_nodes(job: FineTuneJob) -> list[Manifest]:
    """One node may have its model long before another: they wait as long as the job may wait for
    its pods.
    """
    if job.resources.nodes == 1 or job.start_deadline is None:
        return []
    seconds = int(job.start_deadline.total_seconds())
    return [{"name": ENV_START_SECONDS, "value": str(seconds)}]


def _without_devices(job: FineTuneJob) -> list[Manifest]:
    """Hides GPUs from jobs that request none.

    An image may set `all`, and a runtime would give every GPU of the node to the pod. For jobs with
    GPUs the device plugin sets the variable.
    """
    if job.resources.gpus_per_node or job.resources.claims:
        return []
    return [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}]


def _build_compiled_caches(job: FineTuneJob) -> list[Manifest]:
    """The directory where later attempts find compiled kernels, unless the job sets another."""
    named = variables_in(job.pod_template)
    return [
        {"name": name, "value": folder}
        for name, folder in COMPILED_CACHES.items()
        if name not in named
    ]


def grace_seconds(job: FineTuneJob) -> int:
    return int(job.grace_period.total_seconds())


def pod_deadline_seconds(deadline: timedelta, job: FineTuneJob) -> int:
    return int((deadline + job.grace_period + DEADLINE_MARGIN).total_seconds())


def progress_url(job: FineTuneJob, settings: Settings) -> str:
    return f"{settings.progress_url}{FINETUNE_JOBS.path(job.namespace, job.name)}/progress"


def _build_resources(job: FineTuneJob) -> Manifest:
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    if job.resources.cpu is not None:
        # No CPU limit unless the job sets one: throttling helps nobody if the node has time to
        # spare.
        requests["cpu"] = job.resources.cpu
    if job.resources.memory is not None:
        requests["memory"] = limits["memory"] = job.resources.memory
    if job.resources.ephemeral_storage is not None:
        requests["ephemeral-storage"] = job.resources.ephemeral_storage
        limits["ephemeral-storage"] = job.resources.ephemeral_storage
    limits.update(job.resources.limits)
    limits.update(job.resources.requested_gpus)
    claims = [dict(claim) for claim in job.resources.claims]
    sections = (("requests", requests), ("limits", limits), ("claims", claims))
    return {name: entries for name, entries in sections if entries}


def _folder_on_disk(job: FineTuneJob) -> Manifest:
    """Limited to the pod's total storage; some policies require a limit at the volume."""
    limit = job.resources.limits.get("ephemeral-storage") or job.resources.ephemeral_storage
    return {} if limit is None else {"sizeLimit": limit}


def _build_volumes(job: FineTuneJob, attempt: int, settings: Settings) -> list[Manifest]:
    token = {
        "path": TOKEN_FILE,
        "audience": progress_audience(job.namespace, job.name, job.uid),
        "expirationSeconds": TOKEN_SECONDS,
    }
    volumes: list[Manifest] = [
        {"name": "run", "configMap": {"name": child_name(job.name, attempt)}},
        {"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}},
        {"name": "work", "emptyDir": _folder_on_disk(job)},
        {"name": "tmp", "emptyDir": _folder_on_disk(job)},
        # The container runtime's default of 64 MiB is too small for data loader workers.
        {
            "name": "shared-memory",
            "emptyDir": {
                "medium": "Memory",
                "sizeLimit": job.resources.shared_memory or _shared_memory(job, settings),
            },
        },
    ]
    if job.model_cache is not None:
        claim = {"claimName": job.model_cache.claim_name}
        volumes.append({"name": "model-cache", "persistentVolumeClaim": claim})
    return volumes
