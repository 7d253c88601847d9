# SPDX-License-Identifier: Apache-2.0
"""One batch is collated and computed before training begins.

What a library can't do with these data or this model shows here, before the base model is measured,
which may take an hour. The model, its random states and TRL's figures are as they were afterwards.
"""

from itertools import islice
from typing import Any

import torch

from finetune_trainer.failures.errors import Stage
from finetune_trainer.ranks.evaluation.random_states import keep_random_states


def try_a_batch(trainer: Any) -> None:
    """Collate the first rows, and compute their loss where the model is ready by now.

    FSDP and DeepSpeed make a model ready only when training begins.

    Raises:
        Exception: whatever a library raises.
    """
    rows = list(islice(trainer.train_dataset, trainer.args.per_device_train_batch_size))
    if not rows:
        return
    with keep_random_states():
        batch = trainer._get_collator_with_removed_columns(trainer.data_collator)(rows)
        if not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
            _compute(trainer, batch)


def _compute(trainer: Any, batch: Any) -> None:
    """As an evaluation does: without dropout, and counted in figures that are thrown away."""
    was_training = trainer.model.training
    trainer.model.eval()
    try:
        with torch.no_grad(), trainer.compute_loss_context_manager():
            trainer.compute_loss(trainer.model, trainer._prepare_inputs(batch))
    finally:
        trainer.model.train(was_training)
        trainer._metrics["eval"].clear()


def stage_of(trainer: Any, resume_step: int) -> Stage:
    """Until a step has been taken, by any attempt, nothing shows that one can be taken."""
    return Stage.TRAINING if resume_step or trainer.state.global_step else Stage.FIRST_STEP
