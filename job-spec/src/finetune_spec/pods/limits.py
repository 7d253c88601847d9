# SPDX-License-Identifier: Apache-2.0
"""Checks the limits of a job's pods against their requests, and their purpose. No I/O here."""

from collections.abc import Iterator, Mapping
from math import ceil
from typing import Any

from finetune_spec.config.problem import Problem, warning
from finetune_spec.pods.devices import RESOURCES
from finetune_spec.quantities import parse_amount

_IN_PODS = {"ephemeralStorage": "ephemeral-storage"}


def name_in_pods(name: str) -> str:
    """The name of a resource in pods: `ephemeralStorage` is `ephemeral-storage` there."""
    return _IN_PODS.get(name, name)


def advise_on_pinning(resources: Mapping[str, Any]) -> Iterator[Problem]:
    """Requests that almost equal their limits: the kubelet's static policy pins CPUs only for pods
    of the class Guaranteed, and only integer amounts.
    """
    limits = resources.get("limits") or {}
    cpu, memory = (parse_amount(str(resources.get(name))) for name in ("cpu", "memory"))
    if cpu is None or memory is None or parse_amount(str(limits.get("cpu"))) != cpu:
        return
    path = f"{RESOURCES}.limits.cpu"
    if cpu.denominator != 1:
        yield warning(
            path,
            f"equals the request, {resources['cpu']}, but CPUs are pinned only in whole numbers: "
            f"the pod is throttled and shares its CPUs. Set both to {ceil(cpu)} to have CPUs "
            "pinned, or remove the limit",
        )
    elif parse_amount(str(limits.get("memory", resources["memory"]))) != memory:
        yield warning(
            path,
            "equals the request, but CPUs are pinned only if the memory limit equals its "
            "request, too: the pod is throttled and shares its CPUs. Set "
            f"{RESOURCES}.limits.memory to {resources['memory']} to have CPUs pinned, or remove "
            "the limit of the CPU",
        )


def check_limits(resources: Mapping[str, Any]) -> Iterator[Problem]:
    """Limits below their request: the API server would refuse every pod."""
    for name, limit in (resources.get("limits") or {}).items():
        request = resources.get(name)
        if request is None or limit is None:
            continue
        most, least = parse_amount(str(limit)), parse_amount(str(request))
        if most is not None and least is not None and most < least:
            message = f"found {limit}, expected at least {RESOURCES}.{name}, which is {request}"
            yield Problem(path=f"{RESOURCES}.limits.{name}", message=message)
