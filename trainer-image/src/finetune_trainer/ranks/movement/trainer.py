# SPDX-License-Identifier: Apache-2.0
"""TRL's trainer, which records the weights that have changed."""

from typing import Any

from accelerate.utils import DynamoBackend
from torch import nn
from trl import SFTTrainer

from finetune_trainer.ranks.model.devices import require_present
from finetune_trainer.ranks.movement.account import Account
from finetune_trainer.ranks.movement.watch import Watch


class WatchedTrainer(SFTTrainer):
    """Reads its weights after they were moved to their training device, and before a checkpoint is
    loaded.

    transformers loads a sharded model's checkpoint after accelerate has sharded the model, and any
    other model's before everything else.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.watch = Watch()
        self.add_callback(self.watch)

    def begin_watch(self) -> None:
        """Called when accelerate has prepared the model, and no step has been taken.

        Raises:
            AttemptFailed: part of the model is not on the device that trains it.
        """
        model = self._watched()
        require_present(model, self.args, is_prepared=True)
        self.watch.begin(model, observes=self._may_observe())

    def movement(self) -> Account:
        """The changes, combined over all ranks, which must call it together."""
        return self.watch.account(self._watched(), str(getattr(self.args.optim, "value", "")))

    def _load_from_checkpoint(self, checkpoint: str, model: Any = None) -> None:
        self.watch.begin(self._watched(), observes=self._may_observe())
        super()._load_from_checkpoint(checkpoint, model)

    def _load_best_model(self) -> None:
        self.watch.end(self._watched())
        super()._load_best_model()

    def _watched(self) -> nn.Module:
        """FSDP 1 moves the weights to its wrapper, which the trainer gets later."""
        prepared = self.accelerator._models
        is_wrapped = self.is_fsdp_enabled and prepared
        watched: nn.Module = prepared[-1] if is_wrapped else self.model
        return watched

    def _may_observe(self) -> bool:
        """A compiled model has no calls to hook; FSDP 1 computes with separate tensors."""
        state = self.accelerator.state
        plugin = getattr(state, "dynamo_plugin", None)
        is_compiled = self.args.torch_compile or (
            plugin is not None and plugin.backend != DynamoBackend.NO
        )
        is_flat = self.is_fsdp_enabled and getattr(state.fsdp_plugin, "fsdp_version", 1) == 1
        return not (is_compiled or is_flat)
