# SPDX-License-Identifier: Apache-2.0
"""Ends training without improvement, also if the evaluations are in several attempts."""

from typing import Any

from transformers import (
    EarlyStoppingCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from finetune_trainer.ranks.arguments.evaluation import EvaluationArguments


class EarlyStopping(EarlyStoppingCallback):
    """transformers' callback, which after a resume loses the number of evaluations without
    improvement.

    `restore_callback_states_from_checkpoint` would restore it, but also the control flags of the
    loop: for a stopped run, the flag to stop.
    """

    @property
    def is_out_of_patience(self) -> bool:
        return bool(self.early_stopping_patience_counter >= self.early_stopping_patience)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        # Not the original's, which only warns that the best model might not be loaded.
        saved = (state.stateful_callbacks or {}).get(type(self).__name__)
        if isinstance(saved, dict):
            counter = saved["attributes"]["early_stopping_patience_counter"]
            self.early_stopping_patience_counter = int(counter)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        **_: Any,
    ) -> None:
        # The base model's figures belong to no step: no trained state could be kept for them.
        if state.global_step > 0:
            super().on_evaluate(args, state, control, metrics)


def early_stopping(arguments: EvaluationArguments) -> list[EarlyStopping]:
    """The callback, if the config requests it."""
    if arguments.early_stopping_patience is None:
        return []
    return [EarlyStopping(arguments.early_stopping_patience, arguments.early_stopping_threshold)]


def note_of(callbacks: list[Any], args: TrainingArguments, state: TrainerState) -> str:
    """A note that the run stopped early, and the reason; empty if it did not."""
    for callback in callbacks:
        is_early = state.global_step < state.max_steps
        if isinstance(callback, EarlyStopping) and callback.is_out_of_patience and is_early:
            patience = callback.early_stopping_patience
            evaluations = "1 evaluation" if patience == 1 else f"{patience} evaluations"
            metric = str(args.metric_for_best_model)
            return (
                f"stopped early at step {state.global_step}: eval_{metric.removeprefix('eval_')} "
                f"has not improved for {evaluations}"
            )
    return ""
