# SPDX-License-Identifier: Apache-2.0
"""What the evaluations of a finished training say of what will be published."""

from dataclasses import dataclass
from typing import Any

from finetune_trainer.exchange.history import figures_of, require_no_worse_than_base
from finetune_trainer.ranks.callbacks.early_stopping import note_of

LOSS = "eval_loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedTraining:
    """A training that came to its end, after its trainer is gone."""

    history: list[dict[str, Any]]
    metric: str
    """By which a model is called better, with the prefix that evaluations give it."""
    is_greater_better: bool
    published_step: int | None
    """Of the best checkpoint, where it was loaded; None for the last step."""
    best: dict[str, float]
    note: str
    is_comparable: bool

    @property
    def figures(self) -> dict[str, float]:
        return figures_of(self.history, self.published_step) | self.best

    def require_no_worse_than_base(self) -> None:
        """
        Raises:
            AttemptFailed: by its metric the base model is the better one.
        """
        if self.is_comparable:
            require_no_worse_than_base(
                self.history,
                metric=self.metric,
                is_greater_better=self.is_greater_better,
                published_step=self.published_step,
            )


def ended(trainer: Any) -> FinishedTraining:
    """How a trainer's training ended."""
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
    """That not the best weights are published, where those were asked for and are gone."""
    is_known = args.load_best_model_at_end and state.best_global_step
    if not is_known or state.best_model_checkpoint is not None:
        return ""
    return (
        f"the best checkpoint, of step {state.best_global_step}, was lost in an interruption; "
        f"the published step is {state.global_step}"
    )


def _best(state: Any, metric: str) -> dict[str, float]:
    """Which step was the best one; transformers knows it only of runs that save."""
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
