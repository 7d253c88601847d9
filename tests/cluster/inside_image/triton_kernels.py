# SPDX-License-Identifier: Apache-2.0
"""Compiles TRL's and Liger's Triton kernels for GPUs that this machine does not have.

The libraries' own functions are called, forward and backward, so that shapes, types and options are
theirs. Three things are imitated: a driver that names an architecture, the capability that torch
reports for it, and TRL's answer to whether a tensor is on a GPU. No kernel is launched: the tensors
are in the machine's memory, and what the functions return is arbitrary.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

ARCHITECTURES = (75, 80, 90, 100)
_VOCABULARY = 32_768
_HIDDEN = 256
_FEED_FORWARD = 20_480
"""Large enough for the kernels that Liger uses for wide rows on Blackwell."""


class _Driver:
    """A fake of Triton's driver: there is one GPU, of this architecture, and it is never used."""

    def __init__(self, architecture: int) -> None:
        self.architecture = architecture

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.architecture, 32)

    def get_current_device(self) -> int:
        # Triton keeps compiled kernels by device: each architecture is a separate device.
        return self.architecture

    def get_current_stream(self, device: int) -> int:
        return 0


def compile_all() -> dict[str, list[str]]:
    """`architecture` -> names of the kernels that were compiled to machine code for it."""
    return {str(it): sorted(_compile_for(it)) for it in ARCHITECTURES}


def _compile_for(architecture: int) -> set[str]:
    compiled: set[str] = set()
    with _gpu(architecture, compiled):
        for call in (_trl, *_liger()):
            call()
    return compiled


@contextmanager
def _gpu(architecture: int, compiled: set[str]) -> Iterator[None]:
    """For the libraries, there is a GPU of this architecture."""
    run = JITFunction.run

    def compile_only(self: Any, *arguments: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        kernel = run(self, *arguments, grid=grid, warmup=True, **options)
        if _architecture_of(kernel.asm["cubin"]) == architecture:
            compiled.add(f"{self.module}.{self.fn.__name__}")
        return kernel

    capability = divmod(architecture, 10)
    driver.set_active(_Driver(architecture))
    with (
        mock.patch.object(JITFunction, "run", compile_only),
        mock.patch.object(torch.cuda, "is_available", return_value=True),
        mock.patch.object(torch.cuda, "get_device_capability", return_value=capability),
    ):
        from liger_kernel.utils import infer_device_arch

        infer_device_arch.cache_clear()
        yield


def _architecture_of(cubin: bytes) -> int:
    """The target architecture of an ELF file for NVIDIA's GPUs."""
    flags = int.from_bytes(cubin[48:52], "little")
    # From version 8 of its ABI on, which Triton's newer ptxas writes, it is one byte further.
    return flags >> 8 & 0xFF if cubin[8] >= 8 else flags & 0xFF


def _trl() -> None:
    """TRL's default loss, called as in its SFTTrainer."""
    from trl.kernels import chunked_logprob

    hidden, weight = _tensor(4, _HIDDEN), _tensor(_VOCABULARY, _HIDDEN)
    targets = torch.zeros(4, dtype=torch.int64)
    outputs = ("log_probs", "entropy", "is_top1")
    with mock.patch.object(chunked_logprob, "_use_triton", return_value=True):
        log_probs, *_ = chunked_logprob.ChunkedLogProbFunction.apply(
            hidden, weight, None, targets, 1.0, _VOCABULARY, None, 1.0, outputs
        )
        log_probs.sum().backward()


def _liger() -> tuple[Callable[[], None], ...]:
    """One call for each operation that Liger replaces in the models it supports."""
    from liger_kernel import ops

    def backward(function: Any, *arguments: Any) -> None:
        made = function.apply(*arguments)
        first = made[0] if isinstance(made, tuple) else made
        first.backward(torch.ones_like(first) * 2)

    row, weight, wide = _tensor(4, _HIDDEN), _tensor(_HIDDEN), _tensor(4, _FEED_FORWARD)
    heads, angles = _tensor(1, 4, 8, 64), torch.ones(1, 8, 64, dtype=torch.bfloat16)
    logits, head = _tensor(4, _VOCABULARY), _tensor(_VOCABULARY, _HIDDEN)
    targets = torch.zeros(4, dtype=torch.int64)
    return (
        lambda: backward(ops.LigerRMSNormFunction, row, weight, 1e-6, 0.0, "llama", False),
        lambda: backward(ops.LigerLayerNormFunction, row, weight, _tensor(_HIDDEN), 1e-6),
        lambda: backward(ops.LigerRopeFunction, heads * 1, heads * 1, angles, angles),
        lambda: backward(ops.LigerSiLUMulFunction, wide, wide * 1),
        lambda: backward(ops.LigerGELUMulFunction, wide, wide * 1),
        lambda: backward(ops.LigerCrossEntropyFunction, logits * 1, targets, None),
        lambda: backward(ops.LigerFusedLinearCrossEntropyFunction, row, head, targets),
    )


def _tensor(*shape: int) -> torch.Tensor:
    return torch.ones(shape, dtype=torch.bfloat16, requires_grad=True)
