# SPDX-License-Identifier: Apache-2.0
"""Checks the pod fields of a job beyond the API server's schema. No I/O here.

Doors: `check_pods` and `check_passed_on`.

Fields that the operator sets are refused here, and the message names where to set them: no field of
a user is dropped silently.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from finetune_spec.config.problem import Problem
from finetune_spec.pods.container import check_container
from finetune_spec.pods.devices import check_devices, gpu_bytes_of
from finetune_spec.pods.fields import check_fields
from finetune_spec.pods.limits import advise_on_pinning, check_limits
from finetune_spec.pods.passed_on import check_passed_on
from finetune_spec.pods.volumes import check_volumes, find_unmounted

__all__ = ["check_passed_on", "check_pods", "find_variables", "gpu_bytes_of"]

MOST_TOLD = 50
"""Suggesting the nearest name for each of 20,000 names takes seconds."""


def check_pods(spec: Mapping[str, Any]) -> Iterator[Problem]:
    """Problems in the pods of a spec of the right shape, with paths, up to a readable number."""
    yield from islice(_check_pods(spec), MOST_TOLD)


def _check_pods(spec: Mapping[str, Any]) -> Iterator[Problem]:
    template = spec.get("podTemplate") or {}
    pod, container = _pod_of(spec), _container_of(spec)
    yield from check_fields(template)
    yield from check_volumes(pod.get("volumes") or ())
    yield from check_container(container, pod)
    yield from find_unmounted(pod, container)
    yield from check_devices(spec.get("resources") or {}, pod, spec.get("image"))
    yield from check_limits(spec.get("resources") or {})
    yield from advise_on_pinning(spec.get("resources") or {})


def find_variables(spec: Mapping[str, Any]) -> frozenset[str] | None:
    """The environment variables that a spec sets; None if Secrets or ConfigMaps may set others."""
    container = _container_of(spec)
    has_secret = "credentialsSecretRef" in (spec.get("output") or {})
    # The keys of a Secret must not be read here.
    if has_secret or container.get("envFrom"):
        return None
    return frozenset(entry["name"] for entry in container.get("env") or ())


def _pod_of(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    pod: Mapping[str, Any] = (spec.get("podTemplate") or {}).get("spec") or {}
    return pod


def _container_of(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The only one that the schema accepts; empty if there is none."""
    containers: Sequence[Mapping[str, Any]] = _pod_of(spec).get("containers") or ({},)
    return containers[0]
