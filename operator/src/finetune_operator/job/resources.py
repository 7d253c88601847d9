# SPDX-License-Identifier: Apache-2.0
"""The resources that each node of an attempt requests, from `spec.resources`. No I/O here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from finetune_spec.pods.devices import DEFAULT_GPU, NO_GPU_RESOURCE
from finetune_spec.pods.limits import name_in_pods


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The resources that each node of an attempt requests."""

    nodes: int = 1
    gpus_per_node: int = 1
    cpu: str | None = None
    memory: str | None = None
    gpu_resource: str = DEFAULT_GPU
    """The cluster's resource name for its GPUs; `none` if they come from claims."""
    ephemeral_storage: str | None = None
    shared_memory: str | None = None
    """Size of /dev/shm; defaults to the operator's setting."""
    claims: tuple[Mapping[str, str], ...] = ()
    """The container's `resources.claims`, as in a pod."""
    limits: Mapping[str, str] = field(default_factory=dict)
    """Limits by their names in pods, if they differ from the requests."""

    @property
    def requested_gpus(self) -> Mapping[str, str]:
        """The limit that requests GPUs; empty if there is none to set."""
        if self.gpus_per_node == 0 or self.gpu_resource == NO_GPU_RESOURCE:
            return {}
        return {self.gpu_resource: str(self.gpus_per_node)}

    @property
    def processes_per_node(self) -> int:
        """One process for each GPU; one on the CPU if there is none."""
        return max(1, self.gpus_per_node)

    @property
    def gpus(self) -> int:
        return self.nodes * self.gpus_per_node


DEFAULT_RESOURCES = Resources()


def parse_resources(resources: Mapping[str, Any]) -> Resources:
    return Resources(
        nodes=resources.get("nodes", 1),
        gpus_per_node=resources.get("gpusPerNode", 1),
        cpu=_quantity(resources.get("cpu")),
        memory=_quantity(resources.get("memory")),
        gpu_resource=resources.get("gpuResource", DEFAULT_GPU),
        ephemeral_storage=_quantity(resources.get("ephemeralStorage")),
        shared_memory=_quantity(resources.get("sharedMemory")),
        claims=tuple(resources.get("claims") or ()),
        limits={
            name_in_pods(name): str(value)
            for name, value in (resources.get("limits") or {}).items()
            if value is not None
        },
    )


def _quantity(value: int | str | None) -> str | None:
    return None if value is None else str(value)
