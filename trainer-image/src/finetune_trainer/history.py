# SPDX-License-Identifier: Apache-2.0
"""What a trainer's log history says: final figures, and whether anything was learned.

Pure: the records are plain mappings, as transformers keeps and logs them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from finetune_trainer.failures import user_error

Record = Mapping[str, Any]

FIGURES = ("loss", "eval_loss", "mean_token_accuracy", "eval_mean_token_accuracy")
"""TRL's names of the figures that an outcome carries; the last value of each."""


def figures_of(history: Iterable[Record]) -> dict[str, float]:
    """The final figures, and the first loss to hold the last one against."""
    figures: dict[str, float] = {}
    for record in history:
        for name in FIGURES:
            if (value := _finite(record.get(name))) is not None:
                figures[name] = value
                if name == "loss":
                    figures.setdefault("first_loss", value)
    return figures


def losses_of(history: Iterable[Record], name: str = "loss") -> list[tuple[int, float]]:
    """The curve of one figure: step and value."""
    return [
        (int(record["step"]), value)
        for record in history
        if "step" in record and (value := _finite(record.get(name))) is not None
    ]


def has_learned(history: Sequence[Record]) -> bool:
    """Whether any step had a loss or a gradient at all; True where nothing was logged."""
    seen = [record[name] for record in history for name in ("loss", "grad_norm") if name in record]
    return not seen or any(_finite(value) not in (None, 0.0) for value in seen)


def require_learning(history: Sequence[Record]) -> None:
    """
    Raises:
        AttemptFailed: loss and gradient were zero all along.
    """
    if not has_learned(history):
        raise user_error(
            "NothingTrained",
            "loss and gradient were zero at every step: no token of the data counts for the loss",
            "raise max_length if prompts fill it; without assistant_only_loss or "
            "completion_only_loss every token counts",
        )


def _finite(value: object) -> float | None:
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
