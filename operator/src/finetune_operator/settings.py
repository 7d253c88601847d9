# SPDX-License-Identifier: Apache-2.0
"""The platform team's settings. Only `Settings.from_env` reads the environment."""

import os
import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from finetune_contract.owner import CLUSTER_ID_FORM, is_cluster_id
from finetune_spec.quantities import parse_quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The operator's own configuration; each field names its environment variable."""

    trainer_image: str
    """TRAINER_IMAGE, required: the image of jobs that set none."""
    namespace: str
    """POD_NAMESPACE: the namespace of the operator and of its Lease."""
    identity: str
    """POD_NAME and a random suffix: the holder of the Lease, unique for each process."""
    replica: str
    """POD_NAME: the holder of the webhook certificate, the same for a restarted container."""
    progress_url: str
    """PROGRESS_URL: the URL of the progress endpoint for trainer pods, without a trailing slash."""
    listen_address: str
    """LISTEN_ADDRESS: the address for progress and health."""
    port: int
    """PORT: for progress and health."""
    webhook_port: int | None
    """WEBHOOK_PORT: for the admission webhook, 0 for none; defaults to none outside a cluster."""
    webhook_certificates: str | None
    """WEBHOOK_CERTIFICATES: a directory with tls.crt and tls.key, to use instead of its own."""
    webhook_validity: timedelta
    """WEBHOOK_CERTIFICATE_SECONDS: the validity of its own certificates."""
    workers: int
    """WORKERS: how many jobs are reconciled concurrently."""
    resync: timedelta
    """RESYNC_SECONDS: how often everything is listed again, for deletions that a watch has
    missed.
    """
    progress_interval: timedelta
    """PROGRESS_INTERVAL_SECONDS: at most one progress write for each job in this time."""
    shared_memory: str
    """SHARED_MEMORY: size limit of /dev/shm in trainer pods, for each of their GPUs."""
    kubeconfig: str | None
    """KUBECONFIG: for running outside a cluster."""
    log_level: str
    """LOG_LEVEL."""
    model_configs: str | None = None
    """MODEL_CONFIGS: the URL of a model's config.json, with {model} and {revision} in it."""
    gpu_memory_bytes: int | None = None
    """GPU_MEMORY: the memory of each of the cluster's GPUs, such as 80Gi."""
    pull_secrets: tuple[str, ...] = ()
    """TRAINER_PULL_SECRETS: Secrets of a job's namespace for the registry of its image, in addition
    to those that the job itself names.
    """
    cluster_id: str | None = None
    """CLUSTER_ID: the name of this cluster in output claims; defaults to the uid of the namespace
    kube-system if it can be read, else to none.
    """
    has_network_policies: bool = True
    """TRAINER_NETWORK_POLICY: whether an attempt of several nodes gets a NetworkPolicy that admits
    only its own pods; `true` (the default) or `false`.
    """
    watch_namespaces: tuple[str, ...] = ()
    """WATCH_NAMESPACES: the namespaces whose jobs are run, by name; defaults to all. Nothing else
    is read, so permissions in these namespaces are sufficient.
    """
    namespaces: tuple[str, ...] = ()
    """NAMESPACES: where jobs may run, as names or patterns (`team-*`); defaults to everywhere.
    Lists are separated by commas.
    """
    allowed_images: tuple[str, ...] = ()
    """ALLOWED_IMAGES: patterns of images that jobs may name (`registry.example.com/ml/*`) in
    addition to TRAINER_IMAGE, which is always allowed; defaults to any.
    """
    allow_trust_remote_code: bool = False
    """ALLOW_TRUST_REMOTE_CODE: whether configs may set trust_remote_code, which runs code from a
    model's repository in the pods; `true` or `false`.
    """
    output_prefixes: tuple[str, ...] = ()
    """OUTPUT_PREFIXES: the locations below which results may be written, with `{namespace}` for the
    job's (`s3://models/{namespace}`); defaults to anywhere.
    """
    max_gpus: int | None = None
    """MAX_GPUS: how many GPUs a job may have, nodes times gpusPerNode; defaults to any number. GPUs
    from resource claims are counted by gpusPerNode too.
    """
    allowed_host_paths: tuple[str, ...] = ()
    """ALLOWED_HOST_PATHS: host paths that jobs may mount, including everything below them; defaults
    to none. A user who can write to one can place links in it that lead anywhere on the node.
    """
    allowed_service_accounts: tuple[str, ...] = ("default",)
    """ALLOWED_SERVICE_ACCOUNTS: names or patterns of the ServiceAccounts that pods may run as;
    defaults to `default`, which a job without one uses.
    """

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """
        Raises:
            ValueError: a variable is missing or invalid; the message names it.
        """
        if not env.get("TRAINER_IMAGE"):
            raise ValueError("TRAINER_IMAGE is missing: the image of jobs that set no spec.image")
        namespace = env.get("POD_NAMESPACE", "finetune-system")
        port = _positive_number(env, "PORT", 8080)
        replica = env.get("POD_NAME") or socket.gethostname()
        own_service = f"http://finetune-operator.{namespace}.svc:{port}"
        return cls(
            trainer_image=env["TRAINER_IMAGE"],
            namespace=namespace,
            # A restarted container keeps its pod's name, but is another holder.
            identity=f"{replica}_{secrets.token_hex(4)}",
            replica=replica,
            progress_url=env.get("PROGRESS_URL", own_service).rstrip("/"),
            listen_address=env.get("LISTEN_ADDRESS", "0.0.0.0"),  # noqa: S104 - pods post here
            port=port,
            webhook_port=_webhook_port(env),
            webhook_certificates=env.get("WEBHOOK_CERTIFICATES") or None,
            webhook_validity=timedelta(
                seconds=_positive_number(env, "WEBHOOK_CERTIFICATE_SECONDS", 24 * 60 * 60)
            ),
            workers=_positive_number(env, "WORKERS", 8),
            resync=timedelta(seconds=_positive_number(env, "RESYNC_SECONDS", 300)),
            progress_interval=timedelta(
                seconds=_positive_number(env, "PROGRESS_INTERVAL_SECONDS", 10)
            ),
            shared_memory=env.get("SHARED_MEMORY", "1Gi"),
            pull_secrets=_names(env, "TRAINER_PULL_SECRETS", "a Secret"),
            kubeconfig=env.get("KUBECONFIG") or None,
            log_level=env.get("LOG_LEVEL", "INFO"),
            model_configs=_template(env, "MODEL_CONFIGS"),
            gpu_memory_bytes=_memory(env, "GPU_MEMORY"),
            cluster_id=_cluster_id(env, "CLUSTER_ID"),
            has_network_policies=_switch(env, "TRAINER_NETWORK_POLICY", default=True),
            watch_namespaces=_names(env, "WATCH_NAMESPACES", "a namespace"),
            **_guard_rails(env),
        )


def _guard_rails(env: Mapping[str, str]) -> dict[str, Any]:
    return {
        "namespaces": _list(env, "NAMESPACES"),
        "allowed_images": _list(env, "ALLOWED_IMAGES"),
        "allow_trust_remote_code": _switch(env, "ALLOW_TRUST_REMOTE_CODE"),
        "output_prefixes": _prefixes(env, "OUTPUT_PREFIXES", "://"),
        "max_gpus": _positive_number(env, "MAX_GPUS", 0) or None,
        "allowed_host_paths": _prefixes(env, "ALLOWED_HOST_PATHS", "/"),
        "allowed_service_accounts": _list(env, "ALLOWED_SERVICE_ACCOUNTS") or ("default",),
    }


def _webhook_port(env: Mapping[str, str]) -> int | None:
    # The API server calls a Service, which routes to pods.
    if env.get("WEBHOOK_PORT") == "0" or (env.get("KUBECONFIG") and not env.get("WEBHOOK_PORT")):
        return None
    return _positive_number(env, "WEBHOOK_PORT", 8443)


def _positive_number(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name)
    if not text:
        return default
    if not text.isdecimal() or int(text) == 0:
        raise ValueError(f"{name} is {text!r}, expected a whole number above 0")
    return int(text)


def _list(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in env.get(name, "").split(",") if part.strip())


def _names(env: Mapping[str, str], name: str, what: str) -> tuple[str, ...]:
    """
    Raises:
        ValueError: one is a pattern instead of a name; permissions cannot be granted by pattern.
    """
    found = _list(env, name)
    for part in found:
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", part):
            raise ValueError(f"{name} has {part!r}, expected the name of {what}")
    return found


def _prefixes(env: Mapping[str, str], name: str, sign: str) -> tuple[str, ...]:
    """
    Raises:
        ValueError: one cannot be the beginning of any path, so it would refuse every job.
    """
    found = _list(env, name)
    for prefix in found:
        if sign not in prefix or (sign == "/" and not prefix.startswith(sign)):
            expected = "a URI such as s3://models" if sign == "://" else "an absolute path"
            raise ValueError(f"{name} has {prefix!r}, expected {expected}")
    return found


def _switch(env: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    text = env.get(name, "").strip().lower()
    if text not in ("", "true", "false"):
        raise ValueError(f"{name} is {env[name]!r}, expected true or false")
    return text == "true" if text else default


def _cluster_id(env: Mapping[str, str], name: str) -> str | None:
    text = env.get(name) or None
    if text is not None and not is_cluster_id(text):
        raise ValueError(f"{name} is {text!r}, expected {CLUSTER_ID_FORM}")
    return text


def _template(env: Mapping[str, str], name: str) -> str | None:
    text = env.get(name)
    if not text:
        return None
    if not text.startswith(("http://", "https://")) or "{model}" not in text:
        raise ValueError(f"{name} is {text!r}, expected a URL with {{model}} in it")
    return text


def _memory(env: Mapping[str, str], name: str) -> int | None:
    text = env.get(name)
    if not text:
        return None
    try:
        return parse_quantity(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
