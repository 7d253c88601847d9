# SPDX-License-Identifier: Apache-2.0
"""Keys that are not the config's to set, and those that nothing comes of. No I/O here."""

from collections.abc import Iterator, Mapping
from typing import Any

from finetune_spec.config.parse.schema import Schema
from finetune_spec.config.problem import Problem, quoted, warning

OPERATOR_OWNED = {
    "output_dir": "set spec.output.uri instead",
    "resume_from_checkpoint": "every attempt resumes from the newest complete checkpoint",
    "enable_jit_checkpoint": "a trainer that is told to stop saves a checkpoint by itself",
}
"""Keys that would work against the operator, and what to do instead."""

_SECRET = "spec.output.credentialsSecretRef"

_IN_PLAIN_SIGHT = f"a job can be read by others: put it into the Secret that {_SECRET} names"

_LAUNCHER_VARIABLES = (
    "RANK",
    "LOCAL_RANK",
    "GROUP_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
)
"""By these the ranks find each other; TRL would set them anew in every rank."""

_SECRET_ENDINGS = (
    "_TOKEN",
    "_API_KEY",
    "_SECRET",
    "_SECRET_ACCESS_KEY",
    "_PASSWORD",
    "_ACCOUNT_KEY",
)

_WITHOUT_EFFECT: Mapping[str, tuple[Any, str]] = {
    "do_predict": (True, "nothing is predicted after training but a few samples for the report"),
    "disable_tqdm": (False, "progress is in the job's status, and in a terminal shown anyway"),
}
"""Key -> the value that nothing comes of, and why."""

_AGAINST_RESUMING: Mapping[str, str] = {
    "save_only_model": "an attempt that resumes starts optimizer and schedule anew",
    "ignore_data_skip": "an attempt that resumes sees the data from the beginning again",
}
"""Key -> what comes of setting it, in a pod that may be moved at any time."""

_OF_PODS = {
    "node_selector": "nodeSelector",
    "tolerations": "tolerations",
    "affinity": "affinity",
    "priority_class_name": "priorityClassName",
    "service_account_name": "serviceAccountName",
    "image_pull_secrets": "imagePullSecrets",
    "runtime_class_name": "runtimeClassName",
    "volumes": "volumes",
    "volume_mounts": "containers[0].volumeMounts",
}
"""What of a job's pods people look for -> the field of podTemplate.spec."""

PLACES = {
    "image": "spec.image",
    "trainer_image": "spec.image",
    "resources": "spec.resources",
    "cpu": "spec.resources.cpu",
    "cpus": "spec.resources.cpu",
    "memory": "spec.resources.memory",
    "mem": "spec.resources.memory",
    **dict.fromkeys(
        ("nodes", "num_nodes", "nnodes", "num_machines", "replicas", "workers"),
        "spec.resources.nodes",
    ),
    **dict.fromkeys(
        (
            *("gpus", "gpu", "num_gpus", "n_gpus", "n_gpu", "gpu_count", "gpus_per_node"),
            *("nproc_per_node", "num_processes", "nvidia_com_gpu"),
        ),
        "spec.resources.gpusPerNode",
    ),
    "output": "spec.output",
    "uri": "spec.output.uri",
    "output_uri": "spec.output.uri",
    "credentials_secret_ref": _SECRET,
    "secret": _SECRET,
    "secret_name": _SECRET,
    "env_from": _SECRET,
    "retry": "spec.retry",
    "retries": "spec.retry.maxAttempts",
    "max_attempts": "spec.retry.maxAttempts",
    "max_retries": "spec.retry.maxAttempts",
    "backoff_limit": "spec.retry.maxAttempts",
    "run_token": "spec.runToken",
    "termination_grace_period_seconds": "spec.terminationGracePeriodSeconds",
    "on_change": "spec.onChange",
    "suspend": "spec.suspend",
    "active_deadline_seconds": "spec.activeDeadlineSeconds",
    "start_deadline_seconds": "spec.startDeadlineSeconds",
    "ttl_seconds_after_finished": "spec.ttlSecondsAfterFinished",
    "model_cache": "spec.modelCache",
    "shared_memory": "spec.resources.sharedMemory",
    "pod_template": "spec.podTemplate",
    **{name: f"spec.podTemplate.spec.{field}" for name, field in _OF_PODS.items()},
    "api_version": "apiVersion",
    "kind": "kind",
    "metadata": "metadata",
    "name": "metadata.name",
    "namespace": "metadata.namespace",
    "labels": "metadata.labels",
    **dict.fromkeys(
        ("queue", "queue_name", "local_queue"),
        "metadata.labels with the key kueue.x-k8s.io/queue-name",
    ),
    "annotations": "metadata.annotations",
}
"""What stands elsewhere in a FineTuneJob -> where."""


def check_owned_keys(config: Mapping[str, Any], schema: Schema) -> Iterator[Problem]:
    for key, instead in OPERATOR_OWNED.items():
        if key in config and not _is_default(key, config[key], schema):
            yield Problem(path=key, message=f"belongs to the operator: {instead}")
    if config.get("hub_token"):
        yield Problem(path="hub_token", message=f"{_IN_PLAIN_SIGHT}, as HF_TOKEN")


def check_environment(config: Mapping[str, Any], schema: Schema) -> Iterator[Problem]:
    env = config.get("env")
    for name, value in env.items() if isinstance(env, Mapping) else ():
        if name in _LAUNCHER_VARIABLES:
            message = "belongs to the operator: the launcher tells it to each process"
            yield Problem(path=f"env.{name}", message=message)
        elif str(name).upper().endswith(_SECRET_ENDINGS) and value:
            yield warning(f"env.{name}", _IN_PLAIN_SIGHT)


def warn_of_keys_without_effect(config: Mapping[str, Any], schema: Schema) -> Iterator[Problem]:
    for key, (value, why) in _WITHOUT_EFFECT.items():
        if config.get(key) is value:
            yield warning(key, f"found {quoted(value)}, which has no effect: {why}")
    if config.get("local_rank", -1) not in (-1, None):
        yield warning("local_rank", "has no effect: the launcher tells each process its rank")
    if config.get("do_eval") is True and not _evaluates(config):
        yield warning("do_eval", "has no effect: write eval_strategy: steps, or epoch")


def warn_of_incomplete_resuming(config: Mapping[str, Any], schema: Schema) -> Iterator[Problem]:
    for key, consequence in _AGAINST_RESUMING.items():
        if config.get(key) is True:
            yield warning(key, consequence)


def _is_default(key: str, value: Any, schema: Schema) -> bool:
    return bool(value == schema.default(key)) if key in schema.properties else False


def _evaluates(config: Mapping[str, Any]) -> bool:
    return config.get("eval_strategy", config.get("evaluation_strategy", "no")) not in ("no", None)
