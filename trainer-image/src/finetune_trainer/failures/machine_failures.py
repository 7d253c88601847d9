# SPDX-License-Identifier: Apache-2.0
"""Failures of the machines under the ranks: memory, disk, GPUs and the connections between them.

Rules of `classification`, which defines their order. No I/O, no torch: types are recognized by
their names.
"""

import errno
import re

from finetune_contract.outcome import Failure
from finetune_contract.reasons import Reason
from finetune_trainer.failures.raised import Raised

_GPU_MEMORY = re.compile(
    r"CUDA out of memory|CUDA error: out of memory|CUDA driver error: out of memory"
    r"|Cuda failure (\d+ )?'out of memory'|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED"
    r"|Error out of memory at line"
)


def gpu_memory(found: Raised) -> Failure | None:
    if "OutOfMemoryError" not in found.names and not found.says(_GPU_MEMORY):
        return None
    return found.failure(
        Reason.OUT_OF_MEMORY,
        "lower per_device_train_batch_size or max_length, or request a larger GPU",
    )


_SHARED_MEMORY = re.compile(
    # Torch's tensors between processes, NCCL's and Python's segments.
    r"(/dev/shm/|</?torch_\d|shared memory ?\(shm\)|/psm_\w).{0,200}?"
    r"(No space left on device|Cannot allocate memory)"
    r"|No space left on device.{0,20}?(/dev/shm/|/psm_)"
    r"|workers are out of shared memory|insufficient shared memory"
)


def shared_memory(found: Raised) -> Failure | None:
    """Before memory and disk: /dev/shm is a separate volume."""
    if not found.says(_SHARED_MEMORY):
        return None
    return found.failure(
        Reason.SHARED_MEMORY_FULL,
        "raise spec.resources.sharedMemory, which counts as memory, or lower "
        "dataloader_num_workers",
    )


_HOST_MEMORY = re.compile(r"can't allocate memory|Cannot allocate memory|malloc of size \d+ failed")


def host_memory(found: Raised) -> Failure | None:
    is_full = "ArrowMemoryError" in found.names or any(
        isinstance(link, MemoryError) or (isinstance(link, OSError) and link.errno == errno.ENOMEM)
        for link in found.chain
    )
    if not is_full and not found.says(_HOST_MEMORY):
        return None
    return found.failure(
        Reason.HOST_OUT_OF_MEMORY,
        "raise spec.resources.memory, or lower dataset_num_proc and dataloader_num_workers",
    )


_WORKER = re.compile(
    r"DataLoader worker \(pid\S* [^)]*\) (is killed by signal|exited unexpectedly)"
    # The error of `datasets` about a process that prepares rows.
    r"|One of the subprocesses has abruptly died"
)


def data_worker(found: Raised) -> Failure | None:
    if not found.says(_WORKER):
        return None
    return found.failure(
        Reason.DATA_WORKER_KILLED,
        "raise spec.resources.memory, or lower dataloader_num_workers and dataset_num_proc",
    )


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DISK = re.compile(
    r"No space left on device|os error 28|StorageFull|Disk quota exceeded|File too large"
    # The error of torch for a disk that filled up during a write.
    r"|PytorchStreamWriter failed|unexpected pos \d+ vs \d+"
)


def disk(found: Raised) -> Failure | None:
    is_full = any(isinstance(link, OSError) and link.errno in _FULL for link in found.chain)
    if not is_full and not found.says(_DISK):
        return None
    return found.failure(
        Reason.DISK_FULL,
        "provide more disk space for the working directory, keep fewer checkpoints "
        "(save_total_limit), or train with dataset_streaming",
    )


_OLD_DRIVER = re.compile(
    r"driver on your system is too old|CUDA driver version is insufficient"
    r"|API call is not supported in the installed CUDA driver"
)
_NO_DRIVER = re.compile(
    # The second one is Triton's, if the driver's library is in none of its search paths.
    r"Found no NVIDIA driver on your system|libcuda\.so cannot found"
)
_NO_GPU = re.compile(
    r"No CUDA GPUs are available|no CUDA-capable device is detected"
    r"|CUDA-capable device\(s\) is/are busy or unavailable"
    r"|CUDA driver is a stub library|system not yet initialized|CUDA unknown error"
    r"|unsupported display driver"
    r"|forward compatibility was attempted|invalid device ordinal|CUDA initialization"
)
_NO_KERNEL = re.compile(r"no kernel image is available|device kernel image is invalid")
_BROKEN_GPU = re.compile(
    r"uncorrectable (ECC|NVLink) error|or a hardware error|hardware stack error|GPU is lost"
    r"|fallen off the bus|unspecified launch failure|an async error has occured in external entity"
    r"|the launch timed out and was terminated|\bXid\b"
)
_CUDA = re.compile(r"CUDA error:|CUDA driver error:|CUBLAS_STATUS_|CUDNN_STATUS_")


def device(found: Raised) -> Failure | None:
    if found.says(_BROKEN_GPU):
        return found.failure(
            Reason.GPU_FAILED,
            "check the node's kernel log for Xid messages; drain the node if it happens again",
        )
    if found.says(_NO_KERNEL):
        return found.failure(
            Reason.GPU_UNSUPPORTED,
            "choose nodes with GPUs that this image has kernels for (podTemplate.spec.nodeSelector)"
            ", or set spec.image to an image that has kernels for these",
        )
    if found.says(_OLD_DRIVER):
        return found.failure(
            Reason.DRIVER_TOO_OLD,
            "install a newer driver on the node, or choose nodes that have one",
        )
    if found.says(_NO_DRIVER):
        return found.failure(
            Reason.DRIVER_MISSING, "check the node's device plugin and container runtime"
        )
    if found.says(_NO_GPU):
        return found.failure(
            Reason.GPU_UNAVAILABLE,
            "check the node's GPU driver and device plugin, and the devices of the pod",
        )
    if found.says(_CUDA):
        return found.failure(
            Reason.CUDA_ERROR,
            "set env: {CUDA_LAUNCH_BLOCKING: '1'}: the log then shows where it comes from",
        )
    return None


_TIMEOUT = re.compile(
    r"collective operation timeout|Timed out waiting \d+ms|Application timeout caused pair closure"
    r"|[Mm]onitored ?[Bb]arrier|wait timeout after|barrier timeout after"
)
_RENDEZVOUS = re.compile(
    r"client socket has failed to connect|client socket has timed out|connectFullMesh failed"
    r"|\bConnect timeout"
)
_PEER = re.compile(
    r"Connection closed by peer|Connection reset by peer|Broken pipe|\[c10d\]|gloo/transport"
    r"|ncclRemoteError|NCCL communicator was aborted|remote process exited"
)
_ADDRESS = re.compile(r"\[([\w.:%-]+)\]:\d+")
"""The other side of a connection, in gloo's format."""
_NCCL = re.compile(r"NCCL error|nccl(System|UnhandledCuda|Internal|InvalidUsage)\w*:")
_OF_TORCH = frozenset({"DistBackendError", "DistNetworkError", "DistStoreError", "DistError"})


def peers(found: Raised) -> Failure | None:
    """The messages of gloo and NCCL help only their developers; they are in the log."""
    if not found.names & {"RuntimeError", *_OF_TORCH}:
        # Hubs and trackers have sockets too.
        return None
    while_ = f"while {found.stage.value}: "
    if found.says(_TIMEOUT):
        return found.failure(
            Reason.COLLECTIVE_TIMEOUT,
            "check the other ranks' logs for the one that was late; raise ddp_timeout if its "
            "work takes that long",
            f"{while_}the ranks waited for each other longer than ddp_timeout",
        )
    if found.says(_RENDEZVOUS):
        return found.failure(
            Reason.RENDEZVOUS_FAILED,
            "check that every node's pod runs and that NetworkPolicies allow traffic between them",
            f"{while_}the ranks could not connect to each other",
        )
    if found.says(_PEER) or (found.names & _OF_TORCH and not found.says(_NCCL)):
        return found.failure(
            Reason.PEER_LOST,
            "check the other nodes' outcomes: one of them failed first",
            f"{while_}the connection to another rank{_place(found)} was lost",
        )
    if found.says(_NCCL):
        return found.failure(
            Reason.NCCL_ERROR,
            "set env: {NCCL_DEBUG: INFO} to see more; check the nodes' network and GPU links",
        )
    return None


def _place(found: Raised) -> str:
    address = _ADDRESS.search(found.text)
    return "" if address is None else f", at {address[1]},"
