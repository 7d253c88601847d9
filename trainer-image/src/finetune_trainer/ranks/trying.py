# SPDX-License-Identifier: Apache-2.0
"""Collates and computes one batch before training begins.

Errors of a library with these data or this model appear here, before the base model is evaluated,
which may take an hour. Afterwards the model, its random states and TRL's figures are restored.
"""

from itertools import islice
from typing import Any

from finetune_trainer.failures.errors import Stage
from finetune_trainer.ranks.evaluation.random_states import keep_random_states
from finetune_trainer.ranks.model.modes import evaluating


def try_a_batch(trainer: Any) -> None:
    """Collates the first rows, and computes their loss if the model is ready.

    FSDP and DeepSpeed prepare a model only when training begins.

    Raises:
        Exception: any error of a library.
    """
    rows = list(islice(trainer.train_dataset, trainer.args.per_device_train_batch_size))
    if not rows:
        return
    with keep_random_states():
        batch = trainer._get_collator_with_removed_columns(trainer.data_collator)(rows)
        if not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
            _compute(trainer, batch)


def _compute(trainer: Any, batch: Any) -> None:
    """As in an evaluation: without dropout, and with figures that are discarded."""
    try:
        with evaluating(trainer.model), trainer.compute_loss_context_manager():
            trainer.compute_loss(trainer.model, trainer._prepare_inputs(batch))
    finally:
        trainer._metrics["eval"].clear()


def stage_of(trainer: Any, resume_step: int) -> Stage:
    """Until any attempt has taken a step, it is not proven that one can be taken."""
    return Stage.TRAINING if resume_step or trainer.state.global_step else Stage.FIRST_STEP
