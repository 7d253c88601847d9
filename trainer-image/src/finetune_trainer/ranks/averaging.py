# SPDX-License-Identifier: Apache-2.0
"""TRL's trainer with optimizers that have two sets of weights, such as `schedule_free_adamw`.

They compute gradients with one set, and the result of the training is another, an average. Their
`eval` puts the average into the model, and `train` takes it out again. transformers calls `train`
before each step and `eval` before each evaluation, but neither before saving: without an evaluation
at the last step, the published weights would not be those that the training is about.
"""

from typing import Any

from trl import SFTTrainer


class AveragingTrainer(SFTTrainer):
    """Saves the weights that are evaluated, in checkpoints and at the end."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self._take_average()
        super()._save_checkpoint(model, trial)

    def _finalize_training(self, *args: Any, **options: Any) -> Any:
        # Before the best checkpoint is loaded, whose weights are an average already.
        self._take_average()
        return super()._finalize_training(*args, **options)

    def _take_average(self) -> None:
        take = getattr(self.optimizer, "eval", None)
        if callable(take):
            take()
