# SPDX-License-Identifier: Apache-2.0
"""Decides where a base model is loaded again after training. Pure; no torch here.

The trained model was sharded over many GPUs; the verifying process has the free memory of one node.
All placements that should fit are listed, the best first. The last one loads nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

GIB = 1024**3

GPU_SHARE = 0.1
LEAST_ON_GPU = 2 * GIB
"""Reserved on each GPU, the larger of the two: for a CUDA context (0.5 GiB on a GPU that this
process has not used yet), cuBLAS's workspace, and the keys, values and activations of a batch of
short answers (a 72B model keeps 320 KiB for each token: 2.5 GiB for 8 rows of 1,000 tokens).
"""

HOST_SHARE = 0.15
LEAST_ON_HOST = 4 * GIB
"""Reserved host memory next to weights that a GPU computes with, the larger of the two. A container
that runs out of memory is killed and loses the training, while a GPU's shortage only raises an
error.
"""

CPU_SHARE = 0.05
"""Reserved if the CPU computes, as a share of the weights' size. It is small: the same process has
just trained there, with gradients and more.
"""

STREAMED_LAYERS = 2
"""Offloaded layers on the GPU at the same time: one computes, the previous one is released."""

EVENNESS = 40
"""The number of bisection steps to find the smallest sufficient budget per GPU."""

CPU = "cpu"


class Place(StrEnum):
    """The place where a base model is loaded."""

    ONE = "on one device"
    SPREAD = "spread over the node's GPUs"
    OFFLOADED = "on GPUs and in host memory"
    TENSORS = "not at all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The memory of a model in the form in which it will be loaded."""

    rest_bytes: int
    """Everything but the layers: embeddings, head, norms. It stays on one device, because a head is
    often tied to its embedding.
    """
    rest: tuple[str, ...] = ()
    """The names of these modules."""
    layers: Mapping[str, int] = field(default_factory=dict)
    """Bytes by module, in the order of computation; none may be split. Empty if the model does not
    name its layers.
    """
    can_offload: bool = True
    """False if it is quantized: bitsandbytes requires the weights on the GPU."""

    @property
    def total_bytes(self) -> int:
        return self.rest_bytes + sum(self.layers.values())

    @property
    def largest_layer_bytes(self) -> int:
        return max(self.layers.values(), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The free memory of this node."""

    gpus: Mapping[int, int] = field(default_factory=dict)
    """Bytes by device, the process's own first; empty if the CPU trains."""
    host_bytes: int | None = None
    """None if unknown."""

    @property
    def for_weights_bytes(self) -> int:
        """The total for weights, for messages."""
        if not self.gpus:
            return self.host_bytes or 0
        return sum(map(_on_gpu, self.gpus.values())) + _on_host(self.host_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A place, and the device of each module."""

    place: Place
    device_map: Mapping[str, int | str] = field(default_factory=dict)


def placements(weights: Weights | None, room: Room) -> tuple[Placement, ...]:
    """The placements to try, in this order; the one by tensors alone is always the last.

    A model of unknown size (None) is tried on one device.
    """
    return (*_loaded(weights, room), Placement(place=Place.TENSORS))


def _loaded(weights: Weights | None, room: Room) -> Iterator[Placement]:
    device: int | str = next(iter(room.gpus), CPU)
    one = Placement(place=Place.ONE, device_map={"": device})
    if weights is None:
        yield one
        return
    if not room.gpus:
        if fits_host(weights, room):
            yield one
        return
    if weights.total_bytes <= _on_gpu(room.gpus[int(device)]):
        yield one
    if len(room.gpus) > 1 and (spread := _spread(weights, room)) is not None:
        yield Placement(place=Place.SPREAD, device_map=spread)
    if weights.can_offload and (offloaded := _offloaded(weights, room)) is not None:
        yield Placement(place=Place.OFFLOADED, device_map=offloaded)


def fits_host(weights: Weights, room: Room, share: float = CPU_SHARE) -> bool:
    """Whether the CPU can compute with all of it, and keep this share of it free."""
    return room.host_bytes is None or weights.total_bytes * (1 + share) <= room.host_bytes


def _spread(weights: Weights, room: Room) -> dict[str, int | str] | None:
    """As evenly as possible: the rest of each GPU is for the answers."""
    for step in range(1, EVENNESS + 1):
        budgets = {gpu: _on_gpu(free) * step // EVENNESS for gpu, free in room.gpus.items()}
        if (found := _fill(weights, budgets)) is not None:
            return found
    return None


def _offloaded(weights: Weights, room: Room) -> dict[str, int | str] | None:
    streamed = STREAMED_LAYERS * weights.largest_layer_bytes
    first = next(iter(room.gpus))
    budgets: dict[int | str, int] = {gpu: _on_gpu(free) for gpu, free in room.gpus.items()}
    # accelerate computes offloaded layers on the first GPU.
    budgets[first] -= streamed
    budgets[CPU] = _on_host(room.host_bytes)
    found = _fill(weights, budgets)
    return found if found is not None and CPU in found.values() else None


def _fill(
    weights: Weights, budgets: Mapping[int, int] | Mapping[int | str, int]
) -> dict[str, int | str] | None:
    """The device of each module, filling one device after the other; None if it does not fit."""
    if not weights.layers:
        return None
    devices = list(budgets.items())
    device, left = devices.pop(0)
    left -= weights.rest_bytes
    if left < 0:
        return None
    found: dict[str, int | str] = dict.fromkeys(weights.rest, device)
    for name, size in weights.layers.items():
        while size > left:
            if not devices:
                return None
            device, left = devices.pop(0)
        found[name] = device
        left -= size
    return found


def _on_gpu(free: int) -> int:
    return max(0, free - max(LEAST_ON_GPU, int(free * GPU_SHARE)))


def _on_host(free: int | None) -> int:
    return 0 if free is None else max(0, free - max(LEAST_ON_HOST, int(free * HOST_SHARE)))
