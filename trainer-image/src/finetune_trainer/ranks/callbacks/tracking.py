# SPDX-License-Identifier: Apache-2.0
"""Trackers in a rank: imported only on request, given the complete curve, and closed."""

import sys
from dataclasses import replace
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import TensorBoardCallback


class CurveReplay(TrainerCallback):
    """Writes the log records of earlier attempts into this attempt's TensorBoard file.

    Their files may be lost with their pods, and a checkpoint has the records anyway. Trackers with
    a server already have them.
    """

    def __init__(self, callbacks: list[TrainerCallback]) -> None:
        self._writers = [each for each in callbacks if isinstance(each, TensorBoardCallback)]

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        for record in state.log_history:
            at_record = replace(state, global_step=record.get("step", 0))
            logs = {name: value for name, value in record.items() if name != "step"}
            for writer in self._writers:
                writer.on_log(args, at_record, control, logs=logs)


def end_trackers() -> None:
    """Lets trackers send or write the rest: one that is not closed counts as crashed."""
    if (wandb := sys.modules.get("wandb")) is not None and wandb.run is not None:
        wandb.finish()
