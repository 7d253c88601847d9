# SPDX-License-Identifier: Apache-2.0
"""The promised GPUs of a job: each way in which they can be missing, too old or too small."""

from typing import Any

import pytest

from finetune_contract.outcome import Category, Failure
from finetune_contract.run import World
from finetune_spec.config import read_config
from finetune_spec.memory.estimate import Estimate
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.plan.node.gpu_check import (
    for_world,
    gpu_notes,
    require_gpus,
    require_memory,
    visible_devices,
)
from finetune_trainer.plan.node.hardware import Driver, Gpu, Gpus, Hardware
from finetune_trainer.plan.node.torch_build import TorchBuild, parse_torch_build

CUDA_13 = TorchBuild(cuda=(13, 0))
CUDA_12 = TorchBuild(cuda=(12, 8))
ROCM = TorchBuild(hip="6.4.2")
CPU = TorchBuild()
GIB = 2**30
PACE = "and the slowest sets the pace"

H100 = Gpu(name="NVIDIA H100 80GB HBM3", capability=(9, 0), memory_bytes=80 * GIB)
T4 = Gpu(name="Tesla T4", capability=(7, 5), memory_bytes=15 * GIB)
V100 = Gpu(name="Tesla V100-SXM2-16GB", capability=(7, 0), memory_bytes=16 * GIB)
NEW, OLD = Driver(cuda=13000, version="580.65.06"), Driver(cuda=12040, version="550.54.15")


def found(*devices: Gpu, driver: Driver | None = NEW, trouble: str = "") -> Gpus:
    return Gpus(devices=devices, driver=driver, trouble=trouble)


def promised(gpus: int | None, resource: str = "nvidia.com/gpu") -> World:
    return World(processes_per_node=max(1, gpus or 1), gpus_per_node=gpus, gpu_resource=resource)


def refusal(world: World, gpus: Gpus, build: TorchBuild = CUDA_13, **variables: str) -> Failure:
    with pytest.raises(AttemptFailed) as caught:
        require_gpus(world, gpus, build, variables)
    return caught.value.failure


@pytest.mark.parametrize(
    ("world", "gpus", "build"),
    [
        pytest.param(promised(2), found(H100, H100), CUDA_13, id="as promised"),
        pytest.param(promised(1), found(H100, H100), CUDA_13, id="more than promised"),
        pytest.param(promised(1), found(T4), CUDA_13, id="the oldest generation"),
        pytest.param(promised(1), found(V100, driver=OLD), CUDA_12, id="older image, older node"),
        pytest.param(promised(0), found(driver=None), CUDA_13, id="a job on CPUs"),
        pytest.param(promised(None), found(driver=None), CUDA_13, id="an older operator"),
        pytest.param(promised(8, "amd.com/gpu"), Gpus(), ROCM, id="AMD with its own image"),
    ],
)
def test_hardware_that_can_train_is_accepted(world: World, gpus: Gpus, build: TorchBuild) -> None:
    require_gpus(world, gpus, build, {})


@pytest.mark.parametrize(
    ("gpus", "build", "reason", "category", "sentence"),
    [
        pytest.param(
            found(driver=None),
            CUDA_13,
            "DriverMissing",
            Category.PLATFORM,
            "the job requests 2 GPUs on each node, but its container has no NVIDIA driver "
            "(libcuda.so.1 was not found)",
            id="no driver",
        ),
        pytest.param(
            found(H100, H100, driver=OLD),
            CUDA_13,
            "DriverTooOld",
            Category.PLATFORM,
            "the node's NVIDIA driver 550.54.15 runs CUDA 12.4, but this image requires 13.0 "
            "(driver 580 or newer)",
            id="an old driver",
        ),
        pytest.param(
            found(H100, H100, driver=Driver(cuda=11080)),
            CUDA_12,
            "DriverTooOld",
            Category.PLATFORM,
            "the node's NVIDIA driver runs CUDA 11.8, but this image requires 12.8 (driver 525 "
            "or newer)",
            id="too old for the older image",
        ),
        pytest.param(
            found(trouble="cuInit: CUDA_ERROR_NO_DEVICE (100)"),
            CUDA_13,
            "GpuMissing",
            Category.INFRASTRUCTURE,
            "the job requests 2 GPUs on each node, but the driver shows none: cuInit: "
            "CUDA_ERROR_NO_DEVICE (100)",
            id="none",
        ),
        pytest.param(
            found(H100),
            CUDA_13,
            "GpuMissing",
            Category.INFRASTRUCTURE,
            "the job requests 2 GPUs on each node, but the driver shows 1",
            id="too few",
        ),
        pytest.param(
            found(V100, V100),
            CUDA_13,
            "GpuTooOld",
            Category.USER,
            "Tesla V100-SXM2-16GB is sm_70, but this image has kernels from sm_75 on (CUDA 13.0)",
            id="Volta",
        ),
        pytest.param(
            found(H100, H100),
            CPU,
            "GpuUnsupported",
            Category.USER,
            "the job requests 2 GPUs on each node, but this image's torch is built for CPUs",
            id="an image for CPUs",
        ),
    ],
)
def test_a_gpu_that_cannot_train_is_refused_with_who_can_change_it(
    gpus: Gpus, build: TorchBuild, reason: str, category: Category, sentence: str
) -> None:
    failure = refusal(promised(2), gpus, build)

    assert (failure.reason, failure.category, failure.message) == (reason, category, sentence)
    assert failure.remedy


def test_amd_gpus_are_refused_by_an_image_built_for_cuda() -> None:
    failure = refusal(promised(2, "amd.com/gpu"), Gpus())

    assert (failure.reason, failure.category) == ("GpuUnsupported", Category.USER)
    assert "requests amd.com/gpu, but this image's torch is built for CUDA 13.0" in failure.message


def test_several_mig_slices_are_refused_because_a_process_sees_only_one() -> None:
    visible = "MIG-11111111-2222,MIG-33333333-4444"

    failure = refusal(promised(2), found(H100), NVIDIA_VISIBLE_DEVICES=visible)

    assert (failure.reason, failure.category) == ("GpuUnsupported", Category.USER)
    assert "2 MIG slices" in failure.message


def an_estimate(weights: int, activations: int, *, is_known: bool = True) -> Estimate:
    return Estimate(
        weights=weights,
        gradients=0,
        optimizer=0,
        activations=activations,
        working=0,
        overhead=GIB,
        parameters=1,
        trainable=1,
        is_known=is_known,
    )


def on(*devices: Gpu, gpus: int | None = None) -> Hardware:
    there = len(devices) if gpus is None else gpus
    return Hardware(gpus=there, cpus=8, found=found(*devices))


def test_weights_that_fit_with_no_batch_size_are_refused_before_training() -> None:
    with pytest.raises(AttemptFailed) as caught:
        require_memory(an_estimate(28 * GIB, 0), on(H100, T4), lambda size: f"for {size // GIB}")

    failure = caught.value.failure
    assert (failure.reason, failure.category) == ("GpuTooSmall", Category.USER)
    assert failure.message == (
        "weights, gradients and optimizer need 28Gi on each GPU, but Tesla T4 has 15Gi"
    )
    assert failure.remedy == "for 15"


@pytest.mark.parametrize(
    "expected",
    [
        pytest.param(an_estimate(10 * GIB, 40 * GIB), id="the ladder lowers activations"),
        pytest.param(an_estimate(28 * GIB, 0, is_known=False), id="an unknown family"),
    ],
)
def test_a_model_that_may_still_fit_is_tried(expected: Estimate) -> None:
    require_memory(expected, on(T4), lambda size: "")


def test_a_cpu_job_hides_the_gpus_of_its_node() -> None:
    hardware = for_world(on(H100, H100), promised(0))

    assert not hardware.has_cuda
    assert visible_devices(hardware, {}) == {"CUDA_VISIBLE_DEVICES": ""}


def test_gpus_beyond_the_requested_ones_are_hidden_from_the_ranks() -> None:
    hardware = for_world(on(H100, H100, H100), promised(2))

    assert visible_devices(hardware, {}) == {"CUDA_VISIBLE_DEVICES": "0,1"}
    chosen = visible_devices(hardware, {"CUDA_VISIBLE_DEVICES": "3,5,7"})
    assert chosen == {"CUDA_VISIBLE_DEVICES": "3,5"}
    assert visible_devices(for_world(on(H100), promised(1)), {}) == {}


@pytest.mark.parametrize(
    ("config", "devices", "notes"),
    [
        pytest.param(
            {},
            (T4,),
            ["Tesla T4 (sm_75) emulates bfloat16, which is slow: set bf16: false and fp16: true"],
            id="TRL's default on Turing",
        ),
        pytest.param({"fp16": True}, (T4,), [], id="float16 on Turing"),
        pytest.param({"bf16": False}, (T4,), [], id="float32 on Turing"),
        pytest.param({}, (H100,), [], id="Hopper"),
        pytest.param(
            {"fp16": True},
            (H100, T4),
            [f"the GPUs of this node differ ({H100.name}, {T4.name}), {PACE}"],
            id="different GPUs",
        ),
    ],
)
def test_slow_hardware_is_noted(
    config: dict[str, Any], devices: tuple[Gpu, ...], notes: list[str]
) -> None:
    assert list(gpu_notes(read_config(config), on(*devices))) == notes


@pytest.mark.parametrize(
    ("text", "build"),
    [
        pytest.param(
            "cuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n", CUDA_13, id="CUDA"
        ),
        pytest.param("cuda = '12.8'\nhip = None\n", CUDA_12, id="an older torch"),
        pytest.param("cuda: Optional[str] = None\nhip: Optional[str] = '6.4.2'\n", ROCM, id="ROCm"),
        pytest.param("cuda = None\nhip = None\n", CPU, id="CPUs"),
    ],
)
def test_the_torch_build_is_read_from_its_files(text: str, build: TorchBuild) -> None:
    assert parse_torch_build(text) == build
