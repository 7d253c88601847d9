# SPDX-License-Identifier: Apache-2.0
"""Finds the tensors that have a gradient, and the modules it passes through.

Uses hooks, each of which is removed as soon as it has fired: usually in the first step.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from finetune_trainer.ranks.movement.account import Gradient

_CONTAINERS = (nn.ParameterDict, nn.ParameterList)
"""Their tensors are used by the module around them."""


class Participation:
    """Watches a model's trained tensors, by their names in it."""

    def __init__(self, model: nn.Module, trained: Mapping[str, nn.Parameter]) -> None:
        self.is_on_path: set[str] = set()
        """The modules that a gradient has passed through."""
        self._gradients = dict.fromkeys(trained, Gradient.NEVER)
        self._seen: dict[str, torch.Tensor] = {}
        """Whether a gradient of this step has a value, on its device: reading it would wait for the
        device.
        """
        self._handles: dict[str, Any] = {}
        self._owners = {name: _owner_of(model, name) for name in trained}
        for name, parameter in trained.items():
            self._handles[name] = _hook_gradient(parameter, partial(self._see, name))
        for owner in set(self._owners.values()):
            module = model.get_submodule(owner)
            self._handles["." + owner] = module.register_forward_hook(partial(self._follow, owner))

    def end_step(self) -> None:
        """Removes the hooks that have seen a gradient."""
        if not self._seen:
            return
        device = next(iter(self._seen.values())).device
        values = torch.stack([value.to(device) for value in self._seen.values()]).tolist()
        for name, has_value in zip(tuple(self._seen), values, strict=True):
            self._gradients[name] = Gradient.NONZERO if has_value else Gradient.ZERO
            if has_value:
                self._handles.pop(name).remove()
        self._seen.clear()

    def end(self) -> None:
        for handle in self._handles.values():
            handle.remove()
        self._handles.clear()

    def gradient_of(self, name: str) -> Gradient:
        return self._gradients[name]

    def came_by(self, name: str) -> bool:
        """Whether a gradient passed through the module that uses the tensor."""
        return self._owners[name] in self.is_on_path

    def _see(self, name: str, gradient: torch.Tensor | None) -> None:
        # autograd calls hooks with None if a function has no gradient to pass.
        if gradient is None or name not in self._handles:
            return
        has_value = gradient.detach().any()
        if (before := self._seen.get(name)) is not None:
            has_value = has_value | before
        self._seen[name] = has_value

    def _follow(self, owner: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if not module.training or not torch.is_grad_enabled():
            return
        for tensor in _tensors_in(output):
            if tensor.requires_grad:
                tensor.register_hook(partial(self._arrive, owner))

    def _arrive(self, owner: str, gradient: torch.Tensor | None) -> None:
        if gradient is None:
            return
        self.is_on_path.add(owner)
        if (handle := self._handles.pop("." + owner, None)) is not None:
            handle.remove()


def _hook_gradient(parameter: Any, see: Callable[[torch.Tensor | None], None]) -> Any:
    if not hasattr(parameter, "to_local"):
        return parameter.register_hook(see)

    # FSDP2: autograd sees the gathered parameter; this is called with the share of its gradient.
    def see_share(share: Any) -> None:
        see(None if share.grad is None else share.grad.to_local())

    return parameter.register_post_accumulate_grad_hook(see_share)


def _owner_of(model: nn.Module, name: str) -> str:
    """The module that uses a tensor."""
    path = name.rpartition(".")[0]
    while isinstance(model.get_submodule(path), _CONTAINERS):
        path = path.rpartition(".")[0]
    return path


def _tensors_in(output: Any) -> Iterator[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _tensors_in(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _tensors_in(value)
