# SPDX-License-Identifier: Apache-2.0
"""The decisions on which all ranks must agree at a step's end: whether to stop, and whether to
save.
"""

import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import SaveStrategy

from finetune_trainer.ranks.callbacks.side_group import SideGroup

SECONDS_PER_MINUTE = 60


class StoppedInEvaluation(Exception):
    """A stop was requested during an evaluation, and every rank has received it."""


class StepBoundary(TrainerCallback):
    """If one rank has a stop request, all save at the same step and end there. If `save_minutes`
    have passed on one since the last checkpoint, all save.

    Both decisions are in one message, and in none if there is only one rank.
    """

    def __init__(self, stop_file: Path, save_minutes: float | None = None) -> None:
        self._stop_file = stop_file
        self._save_seconds = save_minutes and save_minutes * SECONDS_PER_MINUTE
        self._saved_at = time.monotonic()
        self.has_stopped = False
        self._ranks = SideGroup()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._saved_at = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        is_asked, is_time = self._ranks.any_rank(
            self._stop_file.exists(), self._is_time_to_save(), longest_wait=args.ddp_timeout
        )
        if is_asked:
            self.has_stopped = True
            control.should_save = True
            control.should_training_stop = True
            control.should_evaluate = False
        elif is_time and not _is_saved_next(args, state):
            control.should_save = True

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self.has_stopped:
            # The step's end has already saved, and there is no time for an evaluation.
            control.should_save = False
            control.should_evaluate = False
            control.should_log = False

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._saved_at = time.monotonic()

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.require_time(args)

    def require_time(self, args: TrainingArguments) -> None:
        """For long operations between two steps; every rank must call it.

        Raises:
            StoppedInEvaluation: a rank received a stop request.
        """
        (is_asked,) = self._ranks.any_rank(self._stop_file.exists(), longest_wait=args.ddp_timeout)
        if is_asked:
            self.has_stopped = True
            raise StoppedInEvaluation

    def _is_time_to_save(self) -> bool:
        if self._save_seconds is None:
            return False
        return time.monotonic() - self._saved_at >= self._save_seconds


def _is_saved_next(args: TrainingArguments, state: TrainerState) -> bool:
    """Whether the epoch ends with this step, and its end saves."""
    is_epoch_over = state.epoch is not None and float(state.epoch).is_integer()
    return is_epoch_over and args.save_strategy == SaveStrategy.EPOCH
