# SPDX-License-Identifier: Apache-2.0
"""The category of an exception. No I/O, no torch: types are recognized by their names.

`classify` applies the rules in order, and the first match decides. The texts are those of torch
2.13, NCCL 2.28, CUDA 13, transformers 5, datasets 5 and huggingface_hub 1.
"""

import errno
import re
from collections.abc import Callable
from dataclasses import replace

from finetune_contract.outcome import Category, Failure
from finetune_contract.reasons import Reason
from finetune_trainer.failures import machine_failures, remedies, triton_compiler
from finetune_trainer.failures.errors import AttemptFailed, Stage
from finetune_trainer.failures.raised import Raised


def classify(error: BaseException, stage: Stage) -> Failure:
    """The category of an exception.

    Precedence: a failure with its own category; a checkpoint that contains more than data; memory;
    disk; a compiler; the device; a lost peer; the hub. Before the first step, other errors in
    libraries belong to the user's config, model or data. Errors in our code are ours; while data
    are loaded, errors that only code can cause belong to the libraries.
    """
    found = Raised.of(error, stage)
    for rule in _RULES:
        if (failure := rule(found)) is not None:
            return failure
    return found.failure(
        Reason.INTERNAL,
        "check the traceback in the trainer's log; if it is not in your code, report it",
    )


def _says_so_itself(found: Raised) -> Failure | None:
    """Also if a library has wrapped it, as `datasets` does."""
    failure = next((it.failure for it in found.chain if isinstance(it, AttemptFailed)), None)
    if failure is None or found.stage is Stage.FETCHING:
        return failure
    if failure.reason == Reason.CREDENTIALS_EXPIRED:
        # They were valid when the attempt began: the next pod reads the current Secret.
        return replace(failure, category=Category.INFRASTRUCTURE)
    return failure


NO_DATA = "Weights only load failed"
"""The beginning of torch's error for a file that contains more than plain data."""

_NAMED = re.compile(r"[Uu]nsupported (?:global: |class )?(?:GLOBAL )?(\w+(?:\.\w+)+)")


def _checkpoint(found: Raised) -> Failure | None:
    """During training only checkpoints are loaded. torch's own text explains how to load it anyway,
    which is the wrong advice.
    """
    if found.stage is not Stage.TRAINING or NO_DATA not in found.text:
        return None
    named = _NAMED.search(found.text)
    what = f"names {named[1]}" if named else "is not plain data"
    return found.failure(
        Reason.CHECKPOINT_UNSAFE,
        "find out who can write to spec.output.uri; then delete the checkpoint that was written "
        "there, or set another spec.output.uri",
        f"a file of the checkpoint to resume from {what}, which no trainer saves: loading it "
        "could run untrusted code, so it was not loaded",
    )


_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def _permission(found: Raised) -> Failure | None:
    if not any(isinstance(link, OSError) and link.errno in _FORBIDDEN for link in found.chain):
        return None
    return found.failure(Reason.ACCESS_DENIED, "grant the trainer's user read and write access")


def _compiler(found: Raised) -> Failure | None:
    return triton_compiler.failure_in(found.text, found.stage)


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


def _hub(found: Raised) -> Failure | None:
    status = next(filter(None, map(_status, found.chain)), None)
    if found.names & _NOT_THERE or status in _DENIED:
        return found.failure(
            Reason.HUB_ACCESS_DENIED,
            "check the name on the hub, and set HF_TOKEN if the repository is gated or private",
        )
    if "RevisionNotFoundError" in found.names:
        return found.failure(
            Reason.REVISION_NOT_FOUND,
            "check model_revision: no branch, tag or commit has this name",
        )
    is_away = status is not None and (status >= 500 or status in (408, 429))
    if is_away or found.names & _NETWORK_TYPES or found.says(_NETWORK):
        return found.failure(
            Reason.HUB_UNREACHABLE,
            "allow the pods to reach the hub, or use model and data from s3://, gs:// or az://",
        )
    return None


def _status(error: BaseException) -> int | None:
    """The HTTP status that a hub's client received."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _config(found: Raised) -> Failure | None:
    if found.stage is not Stage.CONFIG:
        return None
    return found.failure(Reason.INVALID_CONFIG, remedies.remedy_for(found.text))


_AS_JSON_LINES = (
    "write the rows as JSON lines, one object in each, such as "
    '{"prompt": "...", "completion": "..."}: these are read as they are'
)


def _data(found: Raised) -> Failure | None:
    if found.stage is not Stage.DATA:
        return None
    if "DatasetNotFoundError" in found.names or isinstance(found.error, FileNotFoundError):
        return found.failure(
            Reason.DATASET_NOT_FOUND, "check dataset_name, and that it contains data files"
        )
    if "Dataset scripts are no longer supported" in str(found.error):
        return found.failure(
            Reason.INVALID_DATASET,
            "code of datasets is not run: remove the script, or name its files",
        )
    if not _kinds(_unwrapped(found.error)) & _OF_DATA:
        return None
    return found.failure(Reason.INVALID_DATASET, _AS_JSON_LINES)


def _unwrapped(error: BaseException) -> BaseException:
    """The original error inside `datasets`' error that the dataset was not created."""
    while "DatasetsError" in _kinds(error) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _kinds(error: BaseException) -> frozenset[str]:
    return frozenset(kind.__name__ for kind in type(error).__mro__)


def _stream(found: Raised) -> Failure | None:
    """Streams are read during training."""
    is_read = found.stage in (Stage.FIRST_STEP, Stage.TRAINING)
    if not is_read or not found.names & {"ArrowInvalid", "CastError"}:
        return None
    return found.failure(Reason.INVALID_DATASET, _AS_JSON_LINES)


_OBJECTIONS = frozenset(
    {
        *("ValueError", "TypeError", "KeyError", "ImportError", "NotImplementedError"),
        *("TemplateError", "DatasetsError", "ArrowInvalid"),
    }
)
"""The errors of TRL, transformers, datasets, PEFT and jinja2 about unusable input."""

_OF_DATA = _OBJECTIONS | {
    *("OSError", "EOFError", "LookupError", "ArithmeticError", "RecursionError"),
    *("ArrowException", "BadZipFile", "LZMAError", "ZstdError", "DecompressionBombError"),
}
"""The errors that files and rows can cause. They cannot set attributes of objects, or names in a
module.
"""


def _preparation(found: Raised) -> Failure | None:
    if found.stage is not Stage.MODEL:
        return None
    if isinstance(found.error, OSError):
        return found.failure(
            Reason.MODEL_NOT_FOUND, "check model_name_or_path: it must contain a complete model"
        )
    if "SafetensorError" in found.names or "UnpicklingError" in found.names:
        return found.failure(
            Reason.MODEL_DAMAGED, "the model's weights cannot be read: upload its files again"
        )
    if found.names & _OBJECTIONS:
        return found.failure(Reason.INVALID_CONFIG, remedies.remedy_for(found.text))
    return None


def _before_the_first_step(found: Raised) -> Failure | None:
    """Whether the libraries can handle the input is not proven yet: the error is the user's unless
    a rule above matches, and another attempt would end in the same way.
    """
    if found.stage not in (Stage.MODEL, Stage.FIRST_STEP) or not found.is_of_a_library:
        return None
    if isinstance(found.error, OSError) or not isinstance(found.error, Exception):
        return None  # Files and connections can fail at any time.
    return found.failure(Reason.INVALID_CONFIG, remedies.remedy_for(found.text))


_RULES: tuple[Callable[[Raised], Failure | None], ...] = (
    _says_so_itself,
    _checkpoint,
    machine_failures.gpu_memory,
    machine_failures.shared_memory,
    machine_failures.host_memory,
    machine_failures.data_worker,
    machine_failures.disk,
    _permission,
    _compiler,
    machine_failures.device,
    machine_failures.peers,
    _hub,
    _config,
    _data,
    _stream,
    _preparation,
    _before_the_first_step,
)
