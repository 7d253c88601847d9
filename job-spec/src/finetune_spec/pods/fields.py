# SPDX-License-Identifier: Apache-2.0
"""Fields of a PodTemplateSpec that a job's podTemplate does not have, and the alternatives.

No I/O here.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from finetune_spec.config.problem import Problem, did_you_mean, quoted
from finetune_spec.pods.reserved import reason_for_label

ROOT = "spec.podTemplate"
POD = f"{ROOT}.spec"

_SECURITY = "pods comply with the restricted Pod Security Standard, which cannot be changed"
_ALONE = "the pods contain only the trainer"
_INSTEAD: Mapping[str, Mapping[str, str]] = {
    ROOT: {},
    f"{ROOT}.metadata": {
        **dict.fromkeys(("name", "generateName"), "pods are named after the job"),
        "namespace": "pods run in the namespace of the job",
    },
    POD: {
        **dict.fromkeys(("securityContext", "hostNetwork", "hostPID", "hostIPC"), _SECURITY),
        "shareProcessNamespace": _SECURITY,
        **dict.fromkeys(("initContainers", "ephemeralContainers"), _ALONE),
        "restartPolicy": "the operator retries failed attempts: write spec.retry",
        "terminationGracePeriodSeconds": "write spec.terminationGracePeriodSeconds",
        "activeDeadlineSeconds": "write spec.activeDeadlineSeconds",
        "automountServiceAccountToken": "no token of the ServiceAccount is mounted",
        "serviceAccount": "write serviceAccountName",
        "priority": "write priorityClassName",
        "nodeName": "write nodeSelector: {kubernetes.io/hostname: ...}",
        "resources": "write spec.resources",
        "env": "write containers: [{name: trainer, env: ...}]",
        "volumeMounts": "write containers: [{name: trainer, volumeMounts: ...}]",
        **dict.fromkeys(
            ("subdomain", "hostname"), "the operator sets the names by which nodes find each other"
        ),
    },
    f"{POD}.containers[0]": {
        "image": "write spec.image",
        "resources": "write spec.resources",
        "securityContext": _SECURITY,
        **dict.fromkeys(
            ("command", "args"), "the image's own entrypoint trains: write spec.config"
        ),
        **dict.fromkeys(
            ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle"),
            "the trainer detects hangs and handles termination itself",
        ),
    },
}
"""Place -> unsupported field of pods -> the reason, or the alternative."""

_FIELDS: Mapping[str, tuple[str, ...]] = {
    ROOT: ("metadata", "spec"),
    f"{ROOT}.metadata": ("labels", "annotations"),
    POD: (
        *("priorityClassName", "nodeSelector", "tolerations", "affinity", "runtimeClassName"),
        *("topologySpreadConstraints", "schedulerName", "serviceAccountName", "imagePullSecrets"),
        *("hostAliases", "hostUsers", "volumes", "resourceClaims", "containers"),
    ),
    f"{POD}.containers[0]": ("name", "env", "envFrom", "volumeMounts", "imagePullPolicy"),
}
"""Place -> the supported fields; a test compares them with the CRD."""

_NAME = re.compile(
    r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")


def check_fields(template: Mapping[str, Any]) -> Iterator[Problem]:
    """Unsupported fields, and labels that cannot be set."""
    metadata, pod = template.get("metadata") or {}, template.get("spec") or {}
    yield from _check_names(template, ROOT)
    yield from _check_names(metadata, f"{ROOT}.metadata")
    yield from _check_names(pod, POD)
    for container in pod.get("containers") or ():
        yield from _check_names(container, f"{POD}.containers[0]")
    if pod.get("hostUsers"):
        message = f"found true, expected false or no value: {_SECURITY}"
        yield Problem(path=f"{POD}.hostUsers", message=message)
    for section in ("labels", "annotations"):
        yield from _check_metadata(metadata.get(section) or {}, f"{ROOT}.metadata.{section}")
    labels = metadata.get("labels") or {}
    yield from _check_values(labels, f"{ROOT}.metadata.labels")
    yield from _check_values(pod.get("nodeSelector") or {}, f"{POD}.nodeSelector")


def _check_names(section: Mapping[str, Any], path: str) -> Iterator[Problem]:
    for name in section:
        if name in _FIELDS[path]:
            continue
        instead = _INSTEAD[path].get(name)
        hint = did_you_mean(name, _FIELDS[path]) or f", expected {', '.join(_FIELDS[path])}"
        message = f"cannot be set by a job: {instead}" if instead else f"unknown field{hint}"
        yield Problem(path=f"{path}.{name}", message=message)


def _check_metadata(entries: Mapping[str, str], path: str) -> Iterator[Problem]:
    for name in entries:
        if (reason := reason_for_label(name)) is not None:
            yield Problem(path=f"{path}.{name}", message=f"cannot be set by a job: {reason}")
        elif not _NAME.fullmatch(name):
            message = f"found the name {quoted(name)}, expected one such as example.com/team"
            yield Problem(path=f"{path}.{name}", message=message)


def _check_values(entries: Mapping[str, str], path: str) -> Iterator[Problem]:
    for name, value in entries.items():
        if not _VALUE.fullmatch(value):
            message = f"found {quoted(value)}, expected letters, digits, -, _ and ."
            yield Problem(
                path=f"{path}.{name}", message=f"{message}, with no special character at either end"
            )
