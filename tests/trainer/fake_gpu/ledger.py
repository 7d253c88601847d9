# SPDX-License-Identifier: Apache-2.0
"""Counts the bytes of every tensor on the fake GPU, as torch's allocator would."""

import weakref
from collections.abc import Callable, Iterator
from typing import Any, Self

import torch
from torch._guards import active_fake_mode
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode

BLOCK = 512
"""torch's allocator rounds up to multiples of this."""

_WITH_A_MASK = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index_put")


class Ledger(TorchDispatchMode):
    """The current allocation, and its peak. Each storage counts once, while it lives."""

    def __init__(self) -> None:
        super().__init__()
        self.allocated = 0
        self.peak = 0
        self._sizes: dict[int, int] = {}
        self._mode: Any = None

    def __enter__(self) -> Self:
        self._mode = active_fake_mode()
        return super().__enter__()

    def reset_peak(self) -> None:
        self.peak = self.allocated

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(issubclass(each, DTensor) for each in types):
            return NotImplemented  # Its own dispatcher returns with the shards.
        if active_fake_mode() is not self._mode:
            return func(*args, **(kwargs or {}))  # It only queries the shapes.
        if _is_sum_of_gradients(func, args):
            result = args[0].add_(args[1])
        elif func.namespace == "aten" and func._schema.name[6:] in _WITH_A_MASK:
            result = _every_row(func, args, kwargs or {})
        else:
            result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            self._enter(tensor)
        return result

    def _enter(self, tensor: torch.Tensor) -> None:
        if tensor.device.type != "cuda":
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        size = -(-storage.nbytes() // BLOCK) * BLOCK
        before = self._sizes.get(key)
        if before is None:
            weakref.finalize(storage, self._leave, key)
        self._sizes[key] = size  # FSDP resizes gathered storage.
        self.allocated += size - (before or 0)
        self.peak = max(self.peak, self.allocated)

    def _leave(self, key: int) -> None:
        self.allocated -= self._sizes.pop(key, 0)

    def track_resizing(self) -> Callable[[], None]:
        """`UntypedStorage.resize_` bypasses every dispatcher. Returns the function that restores
        it.
        """
        original = torch.UntypedStorage.resize_

        def resize(storage: Any, size: int) -> Any:
            result = original(storage, size)
            if (before := self._sizes.get(storage._cdata)) is not None:
                now = -(-size // BLOCK) * BLOCK
                self._sizes[storage._cdata] = now
                self.allocated += now - before
                self.peak = max(self.peak, self.allocated)
            return result

        torch.UntypedStorage.resize_ = resize  # type: ignore[method-assign]

        def undo() -> None:
            torch.UntypedStorage.resize_ = original  # type: ignore[method-assign]

        return undo


def _tensors(result: Any) -> Iterator[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        yield result
    elif isinstance(result, list | tuple):
        for part in result:
            yield from _tensors(part)


def _is_sum_of_gradients(func: Any, args: Any) -> bool:
    """Autograd adds the gradients of several uses of a tensor in place into the first, if it has
    the last reference. For fake tensors it assumes that it cannot, and would create a third.
    """
    if func is not torch.ops.aten.add.Tensor or torch.is_grad_enabled():
        return False
    first, second = args[:2]
    return (
        torch._C._current_autograd_node() is not None
        and isinstance(second, torch.Tensor)
        and (first.shape, first.dtype) == (second.shape, second.dtype)
        and first.is_contiguous()
    )


def _every_row(func: Any, args: Any, kwargs: Any) -> Any:
    """A fake mask has no values, so the number of selected rows is unknown: here it selects all."""
    name, indices = func._schema.name[6:], args[1]
    masks = [each for each in indices if each is not None and each.dtype is torch.bool]
    if not masks:
        return func(*args, **kwargs)
    if name != "index":
        return args[0] if name.endswith("_") else args[0].clone()
    return args[0].flatten(0, masks[0].dim() - 1).clone()
