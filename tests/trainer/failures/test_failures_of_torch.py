# SPDX-License-Identifier: Apache-2.0
"""The category of an exception of torch, NCCL, CUDA or safetensors: their own types and texts.

The texts are those in the binaries of torch 2.13, NCCL and CUDA; errors that a machine without a
GPU can cause are real.
"""

import errno
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from finetune_contract.outcome import Category
from finetune_trainer.failures.classification import classify
from finetune_trainer.failures.errors import Stage

pytestmark = pytest.mark.slow  # importing torch

NCCL = (
    "NCCL error in: ../torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:3690, {}, NCCL version 2.28"
)


@pytest.mark.parametrize(
    ("kind", "text", "category", "reason"),
    [
        ("OutOfMemoryError", ("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total "
         "capacity of 79.25 GiB"), Category.OUT_OF_MEMORY, "OutOfMemory"),
        ("AcceleratorError", "CUDA error: out of memory", Category.OUT_OF_MEMORY, "OutOfMemory"),
        ("DistBackendError", NCCL.format("unhandled cuda error")
         + "\nLast error:\nCuda failure 2 'out of memory'", Category.OUT_OF_MEMORY, "OutOfMemory"),
        ("AcceleratorError", "CUDA error: uncorrectable ECC error encountered",
         Category.INFRASTRUCTURE, "GpuFailed"),
        ("AcceleratorError", "CUDA error: uncorrectable NVLink error detected during the execution",
         Category.INFRASTRUCTURE, "GpuFailed"),
        ("AcceleratorError", "CUDA error: unspecified launch failure",
         Category.INFRASTRUCTURE, "GpuFailed"),
        ("RuntimeError", "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.",
         Category.INFRASTRUCTURE, "GpuFailed"),
        ("RuntimeError", ("Found no NVIDIA driver on your system. Please check that you have an "
         "NVIDIA GPU"), Category.PLATFORM, "DriverMissing"),
        ("RuntimeError", "The NVIDIA driver on your system is too old (found version 11040).",
         Category.PLATFORM, "DriverTooOld"),
        ("AcceleratorError", "CUDA error: no kernel image is available for execution on the device",
         Category.USER, "GpuUnsupported"),
        ("AcceleratorError", "CUDA error: CUDA-capable device(s) is/are busy or unavailable",
         Category.INFRASTRUCTURE, "GpuUnavailable"),
        ("AcceleratorError", "CUDA error: device-side assert triggered",
         Category.INTERNAL, "CudaError"),
        ("DistBackendError", NCCL.format("remote process exited or there was a network error")
         + "\nncclRemoteError: A call failed possibly due to a network error or a remote process "
         "exiting prematurely.", Category.INFRASTRUCTURE, "PeerLost"),
        ("DistBackendError", "NCCL communicator was aborted on rank 1.",
         Category.INFRASTRUCTURE, "PeerLost"),
        ("DistBackendError", NCCL.format("unhandled system error (run with NCCL_DEBUG=INFO for "
         "details)") + "\nncclSystemError: System call (e.g. socket, malloc) or external library "
         "call failed or device error.", Category.INFRASTRUCTURE, "NcclError"),
        ("DistBackendError", NCCL.format("invalid usage")
         + "\nncclInvalidUsage: This usually reflects invalid usage of NCCL library.",
         Category.INFRASTRUCTURE, "NcclError"),
        ("DistBackendError", ("[Rank 0] Watchdog caught collective operation timeout: "
         "WorkNCCL(SeqNum=7, OpType=ALLREDUCE)"), Category.INFRASTRUCTURE, "CollectiveTimeout"),
        ("RuntimeError", ("[../third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:81] Timed out "
         "waiting 1800000ms for recv operation to complete"),
         Category.INFRASTRUCTURE, "CollectiveTimeout"),
        ("RuntimeError", ("[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed "
         "by peer [10.0.0.2]:4242"), Category.INFRASTRUCTURE, "PeerLost"),
        ("DistNetworkError", ("The client socket has failed to connect to any network address of "
         "(balloon-0.balloon, 29500)."), Category.INFRASTRUCTURE, "RendezvousFailed"),
        ("DistStoreError", "wait timeout after 300000ms, keys: /default_pg/0//cpu//0/1",
         Category.INFRASTRUCTURE, "CollectiveTimeout"),
        ("RuntimeError", "DataLoader worker (pid 812) is killed by signal: Killed. ",
         Category.INFRASTRUCTURE, "DataWorkerKilled"),
        ("RuntimeError", "DataLoader worker (pid(s) 812, 813) exited unexpectedly",
         Category.INFRASTRUCTURE, "DataWorkerKilled"),
    ],
)  # fmt: skip
def test_torch_errors_about_devices_and_peers_are_classified(
    kind: str, text: str, category: Category, reason: str
) -> None:
    import torch

    types = {**vars(torch.distributed), **vars(torch), "RuntimeError": RuntimeError}

    failure = classify(types[kind](text), Stage.TRAINING)

    assert (failure.category, failure.reason) == (category, reason)
    assert failure.remedy


def test_cuda_without_a_driver_is_a_platform_error() -> None:
    import torch

    with pytest.raises((RuntimeError, AssertionError)) as caught:
        torch.zeros(1, device="cuda:99")

    failure = classify(caught.value, Stage.MODEL)
    assert (failure.category, failure.reason) == (Category.PLATFORM, "DriverMissing")


def test_too_little_host_memory_for_a_tensor_is_reported_as_such() -> None:
    import torch

    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)

    assert classify(caught.value, Stage.TRAINING).reason == "HostOutOfMemory"


def _with_safetensors(file: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(100_000)}, file)


def _with_torch(file: Path) -> None:
    import torch

    torch.save({"weight": torch.zeros(100_000)}, file)


def _with_pyarrow(file: Path) -> None:
    import datasets

    datasets.Dataset.from_dict({"text": ["x" * 1000] * 1000}).save_to_disk(file)


@contextmanager
def a_disk_with_room_for(size: int) -> Iterator[None]:
    """Files cannot grow larger; the kernel reports it with EFBIG instead of a signal."""
    import signal

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("write", [_with_safetensors, _with_torch, _with_pyarrow])
def test_a_full_disk_is_reported_as_such(write: Callable[[Path], None], tmp_path: Path) -> None:
    import datasets
    import torch

    del datasets, torch  # The import itself writes files, so it comes first.

    with pytest.raises(Exception) as caught, a_disk_with_room_for(4096):  # noqa: PT011 - any type
        write(tmp_path / "file")

    failure = classify(caught.value, Stage.SAVING)
    assert (failure.category, failure.reason) == (Category.INFRASTRUCTURE, "DiskFull")


def test_truncated_weights_are_a_user_error(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    file = tmp_path / "model.safetensors"
    _with_safetensors(file)
    file.write_bytes(file.read_bytes()[:1000])

    with pytest.raises(Exception) as caught:  # noqa: PT011 - safetensors' own type
        load_file(file)

    assert classify(caught.value, Stage.MODEL).reason == "ModelDamaged"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("unable to write to file </torch_81_20_3>: No space left on device (28)"),
        RuntimeError(
            "unable to allocate shared memory(shm) for file </torch_12_34_0>: No space left on "
            "device (28)"
        ),
        RuntimeError(
            "unable to mmap 4096 bytes from file </torch_81_5_0>: Cannot allocate memory (12)"
        ),
        RuntimeError(
            "DataLoader worker (pid 812) is killed by signal: Bus error. It is possible that "
            "dataloader's workers are out of shared memory. Please try to raise your shared memory "
            "limit."
        ),
        RuntimeError(
            "NCCL error in: ProcessGroupNCCL.cpp:3690, unhandled system error. ncclSystemError: "
            "Last error:\nError while creating shared memory segment /dev/shm/nccl-SoKQYH (size "
            "9637888), error: No space left on device (28)"
        ),
        OSError(errno.ENOSPC, "No space left on device", "/dev/shm/pym-1-abc"),
        OSError(errno.ENOSPC, "No space left on device", "/psm_1a2b3c"),
    ],
)
def test_full_shared_memory_is_not_reported_as_a_full_disk(error: Exception) -> None:
    failure = classify(error, Stage.TRAINING)

    assert (failure.category, failure.reason) == (Category.INFRASTRUCTURE, "SharedMemoryFull")
    assert "spec.resources.sharedMemory" in failure.remedy


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/work/training/model"), "DiskFull"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "HostOutOfMemory"),
        (
            RuntimeError("DataLoader worker (pid 8) is killed by signal: Killed."),
            "DataWorkerKilled",
        ),
        (
            RuntimeError(
                "One of the subprocesses has abruptly died during map operation. To debug the "
                "error, disable multiprocessing."
            ),
            "DataWorkerKilled",
        ),
    ],
)
def test_other_shortages_keep_their_names(error: Exception, reason: str) -> None:
    assert classify(error, Stage.TRAINING).reason == reason
