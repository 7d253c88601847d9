# SPDX-License-Identifier: Apache-2.0
"""Reads a trainer's log history: final figures, and whether anything was learned.

Pure: the records are plain mappings, as transformers logs them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed

Record = Mapping[str, Any]

FIGURES = ("loss", "mean_token_accuracy", "entropy")
"""TRL's names of the figures of training that an outcome carries; the last value of each."""

EVALUATED = "eval_"
"""The prefix of figures of an evaluation, including a user's own metrics."""

BASE_EVAL_LOSS = "base_eval_loss"
"""The loss in the evaluation before the first step."""

_ABOUT_THE_EVALUATION = frozenset(
    {
        *("eval_runtime", "eval_samples_per_second", "eval_steps_per_second"),
        *("eval_num_tokens", "eval_model_preparation_time"),
    }
)
"""Figures that do not describe the model."""

TOLERANCE = 0.01
"""The share of the base model's value by which a tuned one may be worse: the difference that
another precision, or another GPU, may cause in an evaluation.
"""


IN_A_ROW = 10
"""Records in a row without a finite gradient, after which training cannot recover."""


def figures_of(history: Iterable[Record], published_step: int | None = None) -> dict[str, float]:
    """The final figures, and the first loss for comparison with the last one.

    Those of evaluations are of `published_step`, if the artifact is not the last state.
    """
    figures: dict[str, float] = {}
    for record in history:
        for name in FIGURES:
            if (value := _finite(record.get(name))) is not None:
                figures[name] = value
                if name == "loss":
                    figures.setdefault("first_loss", value)
        if record.get("step") == 0:
            if (value := _finite(record.get("eval_loss"))) is not None:
                figures[BASE_EVAL_LOSS] = value
        elif published_step is None or record.get("step") == published_step:
            figures |= evaluated(record)
    return figures


def evaluated(record: Record) -> dict[str, float]:
    """The evaluation figures of a record, if it has any; only finite ones."""
    return {
        name: value
        for name, told in record.items()
        if name.startswith(EVALUATED)
        and name not in _ABOUT_THE_EVALUATION
        and (value := _finite(told)) is not None
    }


def require_no_worse_than_base(
    history: Sequence[Record],
    *,
    metric: str = "eval_loss",
    is_greater_better: bool = False,
    published_step: int | None = None,
) -> None:
    """Compares the published model with the base model, by the metric that the user chose.

    Nothing is required if one of them was not evaluated.

    Raises:
        AttemptFailed: it is worse, or not a number.
    """
    base = next((r[metric] for r in history if r.get("step") == 0 and metric in r), None)
    tuned = [
        record[metric]
        for record in history
        if record.get("step") and metric in record
        if published_step is None or record["step"] == published_step
    ]
    if not tuned:
        return
    if _finite(tuned[-1]) is None:
        raise diverged(f"{metric} is {tuned[-1]} after training")
    if base is None or _finite(base) is None:
        return
    loss_by = base - tuned[-1] if is_greater_better else tuned[-1] - base
    if loss_by > TOLERANCE * abs(base):
        raise attempt_failed(
            Reason.WORSE_THAN_BASE,
            f"{metric} is {tuned[-1]:.4g} after training, and {base:.4g} for the base model "
            "untrained",
            "lower learning_rate, train for fewer epochs or with load_best_model_at_end, or "
            "check whether the test split resembles the training data",
        )


def losses_of(history: Iterable[Record], name: str = "loss") -> list[tuple[int, float]]:
    """The curve of one figure: step and value."""
    return [
        (int(record["step"]), value)
        for record in history
        if "step" in record and (value := _finite(record.get(name))) is not None
    ]


def require_learning(history: Sequence[Record]) -> None:
    """Requires that some step had a loss or a gradient, if any was logged.

    Raises:
        AttemptFailed: they were always zero, or not numbers.
    """
    seen = [record[name] for record in history for name in ("loss", "grad_norm") if name in record]
    numbers = [_finite(value) for value in seen]
    if None in numbers and not any(numbers):
        # transformers logs a loss of NaN as zero.
        raise diverged("no step had a gradient that is a finite number")
    if seen and not any(numbers):
        raise attempt_failed(
            Reason.NOTHING_TRAINED,
            "loss and gradient were zero at every step: no token of the data counts for the loss",
            "raise max_length if prompts fill it; without assistant_only_loss or "
            "completion_only_loss every token counts",
        )


def require_finite_gradients(history: Iterable[Record]) -> None:
    """Raises:
    AttemptFailed: none of this many steps in a row had a finite gradient. With fp16 this is
    normal only for a few steps, until the scale fits.
    """
    norms = [(r.get("step"), _finite(r["grad_norm"])) for r in history if "grad_norm" in r]
    last = norms[-IN_A_ROW:]
    if len(last) == IN_A_ROW and all(norm is None for _, norm in last):
        raise diverged(f"since step {last[0][0]} no gradient is a finite number")


def diverged(what: str) -> AttemptFailed:
    return attempt_failed(
        Reason.NOT_FINITE,
        f"{what}: training has diverged",
        "lower learning_rate, set max_grad_norm, or train in bf16 instead of fp16",
    )


def _finite(value: object) -> float | None:
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
