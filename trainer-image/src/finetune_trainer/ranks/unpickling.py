# SPDX-License-Identifier: Apache-2.0
"""Checkpoints are loaded as data, never as code: a pickle may only name the classes listed here.

A user who can write to the output location can also write checkpoints, including manifest and
checksums. DeepSpeed's files and those of torch's distributed checkpoints are fully unpickled by
their libraries, which runs any code that a pickle names. So torch is configured, once for this
process and its children, to load only weights. The index of a distributed checkpoint, which torch
reads with Python's own pickle, is read with an equally short list. The check happens during
loading: a separate scan of the files could read a crafted archive differently than torch does.
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
"""The other classes in its checkpoints: plain values, whose construction has no effect."""

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
    """Prevents every pickle that torch loads in this process from running code."""
    # The job's `env` may contain the opposite, and torch refuses both together.
    os.environ.pop(OPPOSITE, None)
    os.environ[FORCED] = "1"
    # Only these two names of the module are used to read and write an index.
    filesystem.pickle = SimpleNamespace(load=load_index, dump=pickle.dump)


def allow_deepspeed() -> None:
    """Allows DeepSpeed's own plain values in its checkpoints. Only called if needed: the import is
    slow.
    """
    found = []
    for path in _OF_DEEPSPEED:
        module, _, name = path.rpartition(".")
        found.append(getattr(import_module(module), name))
    torch.serialization.add_safe_globals(found)


def load_index(file: IO[bytes]) -> Any:
    """The index of a distributed checkpoint.

    Raises:
        UnpicklingError: it names a class that no index has.
    """
    return _IndexUnpickler(file).load()


class _IndexUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and isinstance(found := getattr(torch, name, None), torch.dtype):
            return found
        # A dotted name could reach any object through an allowed one.
        if (module, name) in _OF_INDEX:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{NO_DATA}. Unsupported global: GLOBAL {module}.{name}")
