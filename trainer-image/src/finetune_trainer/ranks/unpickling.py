# SPDX-License-Identifier: Apache-2.0
"""A checkpoint holds data and no code, whoever wrote it: what is loaded may name only what is here.

Who can write to the output place can write checkpoints too, manifest and checksums included.
DeepSpeed's files and those of torch's distributed checkpoints are unpickled by their libraries in
full, which runs whatever a pickle names. So torch is told, once for this process and all that it
forks, to load weights only; and the index of a distributed checkpoint, which torch reads with
Python's own pickle, is read with as short a list. What is checked is what is loaded: a scan of the
files beforehand could read a crafted archive differently than torch does.
"""

import os
import pickle
from importlib import import_module
from types import SimpleNamespace
from typing import IO, Any

import torch
from torch.distributed.checkpoint import filesystem

from finetune_trainer.failures.classification import NO_DATA

FORCED = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
OPPOSITE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"

_OF_DEEPSPEED = (
    "deepspeed.runtime.fp16.loss_scaler.LossScaler",
    "deepspeed.runtime.fp16.loss_scaler.DynamicLossScaler",
    "deepspeed.runtime.zero.config.ZeroStageEnum",
    "deepspeed.utils.tensor_fragment.fragment_address",
)
"""What its checkpoints name beside tensors: plain values, whose construction does nothing."""

_OF_INDEX = frozenset(
    {
        *(
            ("torch.distributed.checkpoint.metadata", name)
            for name in (
                *("Metadata", "MetadataIndex", "StorageMeta", "TensorProperties"),
                *("TensorStorageMetadata", "BytesStorageMetadata", "ChunkStorageMetadata"),
                "_MEM_FORMAT_ENCODING",
            )
        ),
        ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
        ("torch.serialization", "_get_layout"),
        ("torch", "Size"),
        ("torch", "device"),
        ("collections", "OrderedDict"),
        ("pathlib", "PosixPath"),
    }
)


def load_only_data() -> None:
    """From now on no pickle that torch loads in this process runs code."""
    # An `env` that says the opposite is the job's, and torch refuses both at once.
    os.environ.pop(OPPOSITE, None)
    os.environ[FORCED] = "1"
    # Only these two names of the module are used where an index is read and written.
    filesystem.pickle = SimpleNamespace(load=load_index, dump=pickle.dump)


def allow_deepspeed() -> None:
    """Let DeepSpeed's checkpoints name its own plain values. It is slow to import: only if used."""
    found = []
    for path in _OF_DEEPSPEED:
        module, _, name = path.rpartition(".")
        found.append(getattr(import_module(module), name))
    torch.serialization.add_safe_globals(found)


def load_index(file: IO[bytes]) -> Any:
    """The index of a distributed checkpoint.

    Raises:
        UnpicklingError: it names what no index has.
    """
    return _IndexUnpickler(file).load()


class _IndexUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and isinstance(found := getattr(torch, name, None), torch.dtype):
            return found
        # A dotted name would lead from what is allowed to anything that it refers to.
        if (module, name) in _OF_INDEX:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{NO_DATA}. Unsupported global: GLOBAL {module}.{name}")
