# SPDX-License-Identifier: Apache-2.0
"""Beats whenever the trainer, or the preparation of its data, has got on."""

from typing import Any

from datasets.utils import tqdm as bar
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_trainer.heartbeats import Heart


class Heartbeat(TrainerCallback):
    """A beat for each step, part of a step, evaluated batch and checkpoint."""

    def __init__(self, heart: Heart) -> None:
        self._heart = heart

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._heart.beat(f"training, step {state.global_step + 1} of {state.max_steps}")

    on_substep_end = on_step_begin

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._heart.beat(f"evaluating after step {state.global_step}")

    on_evaluate = on_prediction_step

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._heart.beat(f"saving after step {state.global_step}")


def beat_with_data(heart: Heart) -> None:
    """Beat whenever `datasets` has got on with a split: that can take hours before any step."""

    def update(self: Any, n: float | None = 1) -> bool | None:
        heart.beat("preparing the data")
        return super(bar, self).update(n)

    # It has no other way of telling, and a bar is updated even where none is shown.
    bar.update = update
