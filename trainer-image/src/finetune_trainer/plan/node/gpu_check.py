# SPDX-License-Identifier: Apache-2.0
"""Checks that the promised GPUs exist, and that this image can train on them. Pure.

`require_gpus` checks in the order of dependencies: the image's torch, the driver, the number of
GPUs, their generation. `gpu_notes` has facts that do not prevent training.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from finetune_contract.reasons import Reason
from finetune_contract.run import World
from finetune_spec.config import SftConfig
from finetune_spec.memory.estimate import Estimate
from finetune_spec.quantities import render_bytes
from finetune_trainer.failures.errors import attempt_failed
from finetune_trainer.plan.node.hardware import Gpu, Gpus, Hardware
from finetune_trainer.plan.node.torch_build import TorchBuild

_BFLOAT16_SINCE = (8, 0)
"""Ampere. On earlier GPUs torch computes bfloat16 through float32, but reports it as supported."""

_SLICE = "MIG-"
_VISIBLE = "NVIDIA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """The requirements of torch's builds for one CUDA version."""

    driver_cuda: int
    """In the format of `cuDriverGetVersion`. Within one major version an older driver is
    sufficient.
    """
    driver: str
    """The first driver with it on Linux."""
    capability: tuple[int, int]
    """The oldest GPU that they have kernels for."""


def requirement_of(cuda: tuple[int, int]) -> Requirement:
    """From torch's release matrix and CUDA's release notes: CUDA 13 has dropped Volta, and torch's
    builds for CUDA 12.8 and 12.9 support older GPUs.
    """
    if cuda[0] >= 13:
        return Requirement(driver_cuda=cuda[0] * 1000, driver="580", capability=(7, 5))
    oldest = (7, 0) if cuda >= (12, 8) else (5, 0)
    return Requirement(driver_cuda=12000, driver="525", capability=oldest)


def require_gpus(
    world: World, found: Gpus, build: TorchBuild, environment: Mapping[str, str]
) -> None:
    """
    Raises:
        AttemptFailed: the promised GPUs do not exist, or this image cannot train on them.
    """
    promised = world.gpus_per_node
    if not promised:
        return
    _require_build(world, build)
    if build.cuda is None:
        # ROCm has no libcuda to query; the ranks check by themselves.
        return
    wanted = requirement_of(build.cuda)
    if found.driver is None:
        raise attempt_failed(
            Reason.DRIVER_MISSING,
            f"{_promise(promised)}, but its container has no NVIDIA driver"
            + (f": {found.trouble}" if found.trouble else " (libcuda.so.1 was not found)"),
            "check the node's device plugin and container runtime; if NVIDIA's runtime is not "
            "the default, set podTemplate.spec.runtimeClassName",
        )
    if found.driver.cuda < wanted.driver_cuda:
        version = f" {found.driver.version}" if found.driver.version else ""
        raise attempt_failed(
            Reason.DRIVER_TOO_OLD,
            f"the node's NVIDIA driver{version} runs CUDA {found.driver.cuda_text}, but this "
            f"image requires {_text(build.cuda)} (driver {wanted.driver} or newer)",
            "install a newer driver on the node, or choose nodes that have one with "
            "podTemplate.spec.nodeSelector, or set spec.image to an image built for CUDA "
            f"{found.driver.cuda // 1000}",
        )
    _require_number(promised, found, environment)
    too_old = [device for device in found.devices if device.capability < wanted.capability]
    if too_old:
        major, minor = wanted.capability
        raise attempt_failed(
            Reason.GPU_TOO_OLD,
            f"{too_old[0].name} is {too_old[0].architecture}, but this image has kernels from "
            f"sm_{major}{minor} on (CUDA {_text(build.cuda)})",
            "choose nodes with newer GPUs with podTemplate.spec.nodeSelector"
            + (", or set spec.image to an image built for CUDA 12" if build.cuda[0] > 12 else ""),
        )


def _require_build(world: World, build: TorchBuild) -> None:
    is_amd = world.gpu_resource.startswith("amd.com/")
    if is_amd and build.hip is None:
        built = f"CUDA {_text(build.cuda)}" if build.cuda else "CPUs"
        raise attempt_failed(
            Reason.GPU_UNSUPPORTED,
            f"the job requests {world.gpu_resource}, but this image's torch is built for {built}",
            "set spec.image to an image with a ROCm build of torch, or request nvidia.com/gpu",
        )
    if build.cuda is None and build.hip is None:
        raise attempt_failed(
            Reason.GPU_UNSUPPORTED,
            f"{_promise(world.gpus_per_node or 0)}, but this image's torch is built for CPUs",
            "set spec.image to an image with a CUDA build of torch, or set "
            "spec.resources.gpusPerNode to 0",
        )


def _require_number(promised: int, found: Gpus, environment: Mapping[str, str]) -> None:
    there = len(found.devices)
    if there >= promised:
        return
    visible = environment.get(_VISIBLE, "").split(",")
    if (slices := sum(name.startswith(_SLICE) for name in visible)) > 1:
        raise attempt_failed(
            Reason.GPU_UNSUPPORTED,
            f"the pod has {slices} MIG slices, of which a process can use only one",
            "set spec.resources.gpusPerNode to 1 and request a larger slice, or complete GPUs",
        )
    said = f": {found.trouble}" if found.trouble else ""
    raise attempt_failed(
        Reason.GPU_MISSING,
        f"{_promise(promised)}, but the driver shows {there or 'none'}{said}",
        "check the node's device plugin, and its kernel log for Xid messages; GPUs that are "
        "shared by time-slicing count once",
    )


def require_memory(expected: Estimate, hardware: Hardware, remedy: Callable[[int], str]) -> None:
    """Requires that the memory fits that no smaller batch and no shorter row can reduce; `remedy`
    returns the remedy for a GPU of this many bytes.

    Raises:
        AttemptFailed: weights, gradients and optimizer alone are larger than a GPU.
    """
    devices = hardware.found.devices[: hardware.gpus]
    if not expected.is_known or not devices:
        return
    least = min(devices, key=lambda device: device.memory_bytes)
    needed = expected.weights + expected.gradients + expected.optimizer
    if needed > least.memory_bytes:
        raise attempt_failed(
            Reason.GPU_TOO_SMALL,
            f"weights, gradients and optimizer need {render_bytes(needed)} on each GPU, but "
            f"{least.name} has {render_bytes(least.memory_bytes)}",
            remedy(least.memory_bytes),
        )


def for_world(hardware: Hardware, world: World) -> Hardware:
    """The promised part of the hardware: a job does not use GPUs that it did not request."""
    promised = world.gpus_per_node
    if promised is None:
        return hardware
    return replace(hardware, gpus=min(promised, hardware.gpus))


def visible_devices(hardware: Hardware, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that hide additional GPUs from the ranks.

    A single process that saw several would train on all of them through torch's DataParallel.
    """
    there = len(hardware.found.devices)
    if hardware.gpus >= there:
        return {}
    named = [name for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    names = named or [str(place) for place in range(there)]
    return {"CUDA_VISIBLE_DEVICES": ",".join(names[: hardware.gpus])}


def gpu_notes(config: SftConfig, hardware: Hardware) -> Iterator[str]:
    """Facts that do not prevent training and that its user should know."""
    devices = hardware.found.devices[: hardware.gpus]
    computes_in_bfloat16 = config.is_mixed(has_gpus=True) and not config["fp16"]
    if computes_in_bfloat16 and (old := _before_bfloat16(devices)) is not None:
        yield (
            f"{old.name} ({old.architecture}) emulates bfloat16, which is slow: set bf16: false "
            "and fp16: true"
        )
    if len(kinds := sorted({device.name for device in devices})) > 1:
        yield f"the GPUs of this node differ ({', '.join(kinds)}), and the slowest sets the pace"


def _before_bfloat16(devices: tuple[Gpu, ...]) -> Gpu | None:
    return next((device for device in devices if device.capability < _BFLOAT16_SINCE), None)


def _promise(gpus: int) -> str:
    return f"the job requests {gpus} {'GPU' if gpus == 1 else 'GPUs'} on each node"


def _text(cuda: tuple[int, int]) -> str:
    return f"{cuda[0]}.{cuda[1]}"
