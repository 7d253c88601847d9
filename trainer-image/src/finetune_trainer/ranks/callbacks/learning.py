# SPDX-License-Identifier: Apache-2.0
"""Ends a run that cannot succeed."""

from collections import deque
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_trainer.exchange.history import (
    IN_A_ROW,
    Record,
    require_finite_gradients,
    require_learning,
)

RECORDS_BEFORE_JUDGING = 5


class LearningGuard(TrainerCallback):
    """Ends a run that learns nothing, or has diverged, after a few records instead of days.

    It keeps only the records that it needs. Reading all of the history for each record would slow
    small models down, because their steps are short and many.
    """

    def __init__(self) -> None:
        self._first: list[Record] = []
        self._last: deque[Record] = deque(maxlen=IN_A_ROW)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._first.clear()
        self._last.clear()
        for record in state.log_history:
            self._note(record)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        was_judged = len(self._first) == RECORDS_BEFORE_JUDGING
        self._note(state.log_history[-1])
        if not was_judged and len(self._first) == RECORDS_BEFORE_JUDGING:
            require_learning(self._first)
        require_finite_gradients(self._last)

    def _note(self, record: Record) -> None:
        if "loss" not in record:
            return
        if len(self._first) < RECORDS_BEFORE_JUDGING:
            self._first.append(record)
        if "grad_norm" in record:
            self._last.append(record)
