# SPDX-License-Identifier: Apache-2.0
"""Takes the fingerprint of every trained tensor before and after training."""

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_trainer.ranks.movement.account import Account, Gradient, Tensor, plain_name, together
from finetune_trainer.ranks.movement.fingerprint import fingerprint, local_part, smallest_of
from finetune_trainer.ranks.movement.participation import Participation


@dataclass(frozen=True, slots=True, kw_only=True)
class _Print:
    """A tensor at some time."""

    shape: tuple[int, ...]
    dtype: str
    value: int


class Watch(TrainerCallback):
    """Watches one training, from before the run's checkpoint is loaded: a run that resumes with one
    step left is judged by everything that it has learned.

    All ranks must call `account` together.
    """

    def __init__(self) -> None:
        self._began: dict[str, _Print] | None = None
        self._ended: dict[str, bool | None] | None = None
        self._participation: Participation | None = None
        self._learning_rate = 0.0
        self._steps = 0

    def begin(self, model: nn.Module, *, observes: bool) -> None:
        """Only the first call counts. `observes`: whether hooks may be set on model and tensors."""
        if self._began is not None:
            return
        trained = {name: it for name, it in model.named_parameters() if it.requires_grad}
        self._began = _prints_of(trained)
        if observes:
            self._participation = Participation(model, trained)

    def end(self, model: nn.Module) -> None:
        """All steps are taken; an earlier step's weights may be loaded next."""
        self._ended = self._compare(model)
        if self._participation is not None:
            self._participation.end()

    def account(self, model: nn.Module, optimizer: str) -> Account:
        """The account of all ranks together."""
        if self._began is None:
            return Account()
        if self._ended is None:
            self.end(model)
            published = self._ended or {}
        else:
            published = self._compare(model)
        parameters = dict(model.named_parameters())
        mine = Account(
            tensors=tuple(
                self._tensor(name, parameters.get(name), is_published_moved=moved)
                for name, moved in published.items()
            ),
            learning_rate=self._learning_rate,
            optimizer=optimizer,
        )
        return together(_gathered(mine))

    def on_pre_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: Any = None,
        **_: Any,
    ) -> None:
        rates = [float(group["lr"]) for group in getattr(optimizer, "param_groups", ())]
        self._learning_rate = max(self._learning_rate, *rates, 0.0)

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._steps += 1
        if self._participation is not None:
            self._participation.end_step()

    def _compare(self, model: nn.Module) -> dict[str, bool | None]:
        """Whether each tensor differs from its initial value; None if unknown."""
        began = self._began or {}
        now = _prints_of({name: it for name, it in model.named_parameters() if name in began})
        return {
            name: None
            if (found := now.get(name)) is None or replace(found, value=before.value) != before
            else found.value != before.value
            for name, before in began.items()
        }

    def _tensor(
        self, name: str, parameter: nn.Parameter | None, *, is_published_moved: bool | None
    ) -> Tensor:
        began = (self._began or {})[name]
        seen = self._participation if self._steps else None
        has_moved = (self._ended or {})[name]
        part = None if has_moved is not False or parameter is None else local_part(parameter)
        return Tensor(
            name=plain_name(name),
            dtype=began.dtype,
            has_moved=has_moved,
            is_published_moved=is_published_moved,
            began_at_zero=began.value == 0,
            gradient=Gradient.UNKNOWN if seen is None else seen.gradient_of(name),
            is_on_path=seen is not None and seen.came_by(name),
            smallest=float("inf") if part is None else smallest_of(part),
        )


@torch.no_grad()
def _prints_of(parameters: dict[str, nn.Parameter]) -> dict[str, _Print]:
    parts = {name: local_part(parameter) for name, parameter in parameters.items()}
    here = {name: part for name, part in parts.items() if part is not None}
    # All are computed on their devices first, and read afterwards: each read would wait.
    values = {name: fingerprint(part) for name, part in here.items()}
    return {
        name: _Print(
            shape=tuple(part.shape),
            dtype=str(part.dtype).removeprefix("torch."),
            value=int(values[name].item()),
        )
        for name, part in here.items()
    }


def _gathered(mine: Account) -> list[Account]:
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return [mine]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, mine)
    return found
