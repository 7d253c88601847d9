# SPDX-License-Identifier: Apache-2.0
"""Whose mistake an exception is. No I/O, no torch: types are known by their names.

`classify` asks the rules in their order, and the first that knows the error answers. The texts are
those of torch 2.13, NCCL 2.28, CUDA 13, transformers 5, datasets 5 and huggingface_hub 1.
"""

import errno
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from finetune_contract.outcome import PEER_LOST, Blame, Failure
from finetune_trainer import triton_compiler
from finetune_trainer.failures import AttemptFailed, Stage


def classify(error: BaseException, stage: Stage) -> Failure:
    """Whose mistake an exception is.

    Precedence: a failure that says so itself; memory; disk; a compiler; the device; a lost peer;
    the hub; then, before training began, what the libraries object to is the user's config, model
    or data. What only code can get wrong is nobody's but ours and theirs, whatever was being done.
    """
    found = _Found.of(error, stage)
    for rule in _RULES:
        if (failure := rule(found)) is not None:
            return failure
    return Failure(
        blame=Blame.INTERNAL,
        reason="Internal",
        message=found.message,
        remedy="look for the traceback in the trainer's log; if it is not your code, report it",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What the rules look at."""

    error: BaseException
    stage: Stage
    chain: tuple[BaseException, ...]
    """The error and what it was raised from."""
    names: frozenset[str] = field(default_factory=frozenset)
    """Of all their classes."""
    text: str = ""

    @classmethod
    def of(cls, error: BaseException, stage: Stage) -> "_Found":
        chain = tuple(_chain(error))
        names = frozenset(kind.__name__ for link in chain for kind in type(link).__mro__)
        text = " ".join(" ".join(str(link) for link in chain).split())
        return cls(error=error, stage=stage, chain=chain, names=names, text=text)

    @property
    def message(self) -> str:
        return f"while {self.stage.value}: {_sentence(self.error)}"

    def says(self, traces: "re.Pattern[str]") -> bool:
        return traces.search(self.text) is not None

    def user(self, reason: str, remedy: str) -> Failure:
        return Failure(blame=Blame.USER, reason=reason, message=self.message, remedy=remedy)

    def infrastructure(self, reason: str, remedy: str, message: str = "") -> Failure:
        return Failure(
            blame=Blame.INFRASTRUCTURE,
            reason=reason,
            message=message or self.message,
            remedy=remedy,
        )


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _sentence(error: BaseException) -> str:
    """The error in one line, with the cause that it wraps."""
    text = " ".join(str(error).split())
    if isinstance(error, KeyError):
        # Its text alone would be a bare word.
        return f"there is no {text}"
    if error.__cause__ is not None and (cause := _sentence(error.__cause__)) not in text:
        return f"{text}: {cause}"
    return text or type(error).__name__


def _says_so_itself(found: _Found) -> Failure | None:
    """Also where a library has wrapped it, as `datasets` does."""
    return next((link.failure for link in found.chain if isinstance(link, AttemptFailed)), None)


_GPU_MEMORY = re.compile(
    r"CUDA out of memory|CUDA error: out of memory|CUDA driver error: out of memory"
    r"|Cuda failure (\d+ )?'out of memory'|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED"
    r"|Error out of memory at line"
)


def _gpu_memory(found: _Found) -> Failure | None:
    if "OutOfMemoryError" not in found.names and not found.says(_GPU_MEMORY):
        return None
    return Failure(
        blame=Blame.OUT_OF_MEMORY,
        reason="OutOfMemory",
        message=found.message,
        remedy="lower per_device_train_batch_size or max_length, or ask for a larger GPU",
    )


_HOST_MEMORY = re.compile(r"can't allocate memory|Cannot allocate memory|malloc of size \d+ failed")


def _host_memory(found: _Found) -> Failure | None:
    is_full = "ArrowMemoryError" in found.names or any(
        isinstance(link, MemoryError) or (isinstance(link, OSError) and link.errno == errno.ENOMEM)
        for link in found.chain
    )
    if not is_full and not found.says(_HOST_MEMORY):
        return None
    return found.infrastructure(
        "HostOutOfMemory",
        "raise spec.resources.memory, or lower dataset_num_proc and dataloader_num_workers",
    )


_WORKER = re.compile(
    r"DataLoader worker \(pid\S* [^)]*\) (is killed by signal|exited unexpectedly)"
)


def _data_worker(found: _Found) -> Failure | None:
    if not found.says(_WORKER):
        return None
    return found.infrastructure(
        "DataWorkerKilled",
        "raise spec.resources.memory, or lower dataloader_num_workers",
    )


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DISK = re.compile(
    r"No space left on device|os error 28|StorageFull|Disk quota exceeded|File too large"
    # What torch says of a disk that filled up while it wrote.
    r"|PytorchStreamWriter failed|unexpected pos \d+ vs \d+"
)


def _disk(found: _Found) -> Failure | None:
    is_full = any(isinstance(link, OSError) and link.errno in _FULL for link in found.chain)
    if not is_full and not found.says(_DISK):
        return None
    return found.infrastructure(
        "DiskFull",
        "give the work folder more room, keep fewer checkpoints (save_total_limit), or train with "
        "dataset_streaming",
    )


_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def _permission(found: _Found) -> Failure | None:
    if not any(isinstance(link, OSError) and link.errno in _FORBIDDEN for link in found.chain):
        return None
    return found.user("AccessDenied", "let the user that the trainer runs as read and write there")


def _compiler(found: _Found) -> Failure | None:
    return triton_compiler.failure_in(found.text, found.stage)


_NO_GPU = re.compile(
    r"NVIDIA driver on your system|No CUDA GPUs are available|no CUDA-capable device is detected"
    r"|CUDA-capable device\(s\) is/are busy or unavailable|CUDA driver version is insufficient"
    r"|CUDA driver is a stub library|system not yet initialized|CUDA unknown error"
    r"|unsupported display driver|API call is not supported in the installed CUDA driver"
    r"|forward compatibility was attempted|invalid device ordinal|CUDA initialization"
    r"|libcuda\.so cannot found"
)
_BROKEN_GPU = re.compile(
    r"uncorrectable (ECC|NVLink) error|or a hardware error|hardware stack error|GPU is lost"
    r"|fallen off the bus|unspecified launch failure|an async error has occured in external entity"
    r"|the launch timed out and was terminated|\bXid\b"
)
_CUDA = re.compile(r"CUDA error:|CUDA driver error:|CUBLAS_STATUS_|CUDNN_STATUS_")


def _device(found: _Found) -> Failure | None:
    if found.says(_BROKEN_GPU):
        return found.infrastructure(
            "GpuFailed",
            "look for Xid messages in the node's kernel log; drain the node if it happens again",
        )
    if found.says(_NO_GPU):
        return found.infrastructure(
            "GpuUnavailable",
            "check the node's GPU driver and device plugin, and what the pod was given",
        )
    if found.says(_CUDA):
        return Failure(
            blame=Blame.INTERNAL,
            reason="CudaError",
            message=found.message,
            remedy="set env: {CUDA_LAUNCH_BLOCKING: '1'}: the log then shows where it comes from",
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
"""The other side of a connection, as gloo writes it."""
_NCCL = re.compile(r"NCCL error|nccl(System|UnhandledCuda|Internal|InvalidUsage)\w*:")
_OF_TORCH = frozenset({"DistBackendError", "DistNetworkError", "DistStoreError", "DistError"})


def _peers(found: _Found) -> Failure | None:
    """What gloo and NCCL say is of use to nobody but their makers; it is in the log."""
    if not found.names & {"RuntimeError", *_OF_TORCH}:
        # A hub or a tracker has sockets too.
        return None
    while_ = f"while {found.stage.value}: "
    if found.says(_TIMEOUT):
        return found.infrastructure(
            "CollectiveTimeout",
            "look at the other ranks' logs for the one that came late; raise ddp_timeout if its "
            "work takes that long",
            f"{while_}the ranks waited for each other longer than ddp_timeout",
        )
    if found.says(_RENDEZVOUS):
        return found.infrastructure(
            "RendezvousFailed",
            "check that every node's pod runs and that a NetworkPolicy lets them talk",
            f"{while_}the ranks did not find each other",
        )
    if found.says(_PEER) or (found.names & _OF_TORCH and not found.says(_NCCL)):
        return found.infrastructure(
            PEER_LOST,
            "look at the other nodes' outcomes: one of them failed first",
            f"{while_}the connection to another rank{_place(found)} was lost",
        )
    if found.says(_NCCL):
        return found.infrastructure(
            "NcclError",
            "set env: {NCCL_DEBUG: INFO} to see more; check the nodes' network and GPU links",
        )
    return None


def _place(found: _Found) -> str:
    address = _ADDRESS.search(found.text)
    return "" if address is None else f", at {address[1]},"


_NETWORK_TYPES = frozenset(
    {
        *("ConnectionError", "ConnectError", "ConnectTimeout", "ReadTimeout", "ReadError"),
        *("NetworkError", "TimeoutException", "RemoteProtocolError", "ProtocolError"),
        *("LocalEntryNotFoundError", "OfflineModeIsEnabled", "XetDownloadError"),
    }
)
_NETWORK = re.compile(
    r"We couldn't connect to|Couldn't reach|is not cached|Temporary failure in name resolution"
    r"|Name or service not known|Network is unreachable"
)
_DENIED = frozenset({401, 403})
_NOT_THERE = frozenset({"RepositoryNotFoundError", "GatedRepoError", "DisabledRepoError"})


def _hub(found: _Found) -> Failure | None:
    status = next(filter(None, map(_status, found.chain)), None)
    if found.names & _NOT_THERE or status in _DENIED:
        return found.user(
            "HubAccessDenied",
            "check the name on the hub, and give HF_TOKEN if the repository is gated or private",
        )
    if "RevisionNotFoundError" in found.names:
        return found.user(
            "RevisionNotFound", "check model_revision: no branch, tag or commit has this name"
        )
    is_away = status is not None and (status >= 500 or status in (408, 429))
    if is_away or found.names & _NETWORK_TYPES or found.says(_NETWORK):
        return found.infrastructure(
            "HubUnreachable",
            "let the pods reach the hub, or name the model and data by s3://, gs:// or az://",
        )
    return None


def _status(error: BaseException) -> int | None:
    """The HTTP status that a hub's client got."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _config(found: _Found) -> Failure | None:
    if found.stage is not Stage.CONFIG:
        return None
    return found.user("InvalidConfig", "correct the config: the message quotes TRL's objection")


def _data(found: _Found) -> Failure | None:
    if found.stage is not Stage.DATA:
        return None
    if "DatasetNotFoundError" in found.names or isinstance(found.error, FileNotFoundError):
        return found.user("DatasetNotFound", "check dataset_name, and that it holds data files")
    if "Dataset scripts are no longer supported" in str(found.error):
        return found.user(
            "InvalidDataset", "code of data sets is not run: remove the script, or name its files"
        )
    if not _kinds(_unwrapped(found.error)) & _OF_DATA:
        return None
    return found.user("InvalidDataset", "the data set cannot be read as it is: correct its files")


def _unwrapped(error: BaseException) -> BaseException:
    """What was raised before `datasets` said of it that the data set was not made."""
    while "DatasetsError" in _kinds(error) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _kinds(error: BaseException) -> frozenset[str]:
    return frozenset(kind.__name__ for kind in type(error).__mro__)


def _stream(found: _Found) -> Failure | None:
    """Streams are read while they are trained on."""
    if found.stage is not Stage.TRAINING or not found.names & {"ArrowInvalid", "CastError"}:
        return None
    return found.user("InvalidDataset", "the data set cannot be read as it is: correct its files")


_OBJECTIONS = frozenset(
    {
        *("ValueError", "TypeError", "KeyError", "ImportError", "NotImplementedError"),
        *("TemplateError", "DatasetsError", "ArrowInvalid"),
    }
)
"""How TRL, transformers, datasets, PEFT and jinja2 tell that they cannot do what they were told."""

_OF_DATA = _OBJECTIONS | {
    *("OSError", "EOFError", "LookupError", "ArithmeticError", "RecursionError"),
    *("ArrowException", "BadZipFile", "LZMAError", "ZstdError", "DecompressionBombError"),
}
"""What files and rows can cause. They cannot give an object attributes, or a module names."""


def _preparation(found: _Found) -> Failure | None:
    if found.stage is not Stage.MODEL:
        return None
    if isinstance(found.error, OSError):
        return found.user("ModelNotFound", "check model_name_or_path: it must hold a whole model")
    if "SafetensorError" in found.names or "UnpicklingError" in found.names:
        return found.user(
            "ModelDamaged", "the model's weights cannot be read: upload its files again"
        )
    if found.names & _OBJECTIONS:
        return found.user(
            "InvalidConfig", "change the config or the data: one does not fit the other"
        )
    return None


_RULES: tuple[Callable[[_Found], Failure | None], ...] = (
    _says_so_itself,
    _gpu_memory,
    _host_memory,
    _data_worker,
    _disk,
    _permission,
    _compiler,
    _device,
    _peers,
    _hub,
    _config,
    _data,
    _stream,
    _preparation,
)
