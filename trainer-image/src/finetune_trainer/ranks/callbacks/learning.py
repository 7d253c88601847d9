# SPDX-License-Identifier: Apache-2.0
"""Ends a run that cannot succeed."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_trainer.exchange.history import require_finite_gradients, require_learning

RECORDS_BEFORE_JUDGING = 5


class LearningGuard(TrainerCallback):
    """Ends a run that learns nothing, or has diverged, after a few records instead of days."""

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        records = [record for record in state.log_history if "loss" in record]
        if len(records) == RECORDS_BEFORE_JUDGING:
            require_learning(records)
        require_finite_gradients(records)
