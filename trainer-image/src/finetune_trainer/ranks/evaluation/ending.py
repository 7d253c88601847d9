# SPDX-License-Identifier: Apache-2.0
"""The evaluations of a finished training, with respect to the published model."""

from dataclasses import dataclass
from typing import Any

from finetune_trainer.exchange.history import figures_of, require_no_worse_than_base
from finetune_trainer.ranks.callbacks.early_stopping import note_of

LOSS = "eval_loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedTraining:
    """A finished training, after its trainer was deleted."""

    history: list[dict[str, Any]]
    metric: str
    """The metric that decides which model is better, with the prefix of evaluations."""
    is_greater_better: bool
    published_step: int | None
    """The step of the best checkpoint, if it was loaded; None for the last step."""
    best: dict[str, float]
    note: str
    is_comparable: bool

    @property
    def figures(self) -> dict[str, float]:
        return figures_of(self.history, self.published_step) | self.best

    def require_no_worse_than_base(self) -> None:
        """
        Raises:
            AttemptFailed: by its metric the base model is better.
        """
        if self.is_comparable:
            require_no_worse_than_base(
                self.history,
                metric=self.metric,
                is_greater_better=self.is_greater_better,
                published_step=self.published_step,
            )


def ended(trainer: Any) -> FinishedTraining:
    """The result of a trainer's training."""
    args, state = trainer.args, trainer.state
    metric = "eval_" + (args.metric_for_best_model or LOSS).removeprefix("eval_")
    is_best = args.load_best_model_at_end and state.best_model_checkpoint is not None
    return FinishedTraining(
        history=list(state.log_history),
        metric=metric,
        is_greater_better=bool(args.greater_is_better) and args.metric_for_best_model is not None,
        published_step=state.best_global_step if is_best else None,
        best=_best(state, metric),
        note="; ".join(
            filter(
                None, (note_of(trainer.callback_handler.callbacks, args, state), _lost(args, state))
            )
        ),
        # DFT weighs each token by its probability: its loss grows while a model learns.
        is_comparable=not (metric == LOSS and args.loss_type == "dft"),
    )


def _lost(args: Any, state: Any) -> str:
    """A note that the published weights are not the best ones, if those were requested but lost."""
    is_known = args.load_best_model_at_end and state.best_global_step
    if not is_known or state.best_model_checkpoint is not None:
        return ""
    return (
        f"the best checkpoint, of step {state.best_global_step}, was lost in an interruption; "
        f"the published step is {state.global_step}"
    )


def _best(state: Any, metric: str) -> dict[str, float]:
    """The best step; transformers records it only for runs that save."""
    if state.best_metric is None:
        return {}
    steps = (
        record["step"]
        for record in state.log_history
        if record["step"] > 0 and record.get(metric) == state.best_metric
    )
    step = state.best_global_step or next(steps, None)
    found = {"best_metric": float(state.best_metric)}
    return found if step is None else found | {"best_step": float(step)}
