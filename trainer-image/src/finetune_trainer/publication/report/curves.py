# SPDX-License-Identifier: Apache-2.0
"""Draws the curves of a story. Pure."""

from collections.abc import Mapping

from finetune_trainer.exchange.history import BASE_EVAL_LOSS, losses_of
from finetune_trainer.publication.report.charts import NARROW, draw
from finetune_trainer.publication.report.story import Story

EVAL_LOSS = "eval_loss"

_SMALL: Mapping[str, Mapping[str, str]] = {
    "Learning rate": {"learning rate": "learning_rate"},
    "Gradient norm": {"gradient norm": "grad_norm"},
    "Token accuracy": {
        "training": "mean_token_accuracy",
        "evaluation": "eval_mean_token_accuracy",
    },
    "Entropy": {"training": "entropy", "evaluation": "eval_entropy"},
}
"""Title of a picture -> its curves -> their key in a record."""


def loss_curve(story: Story) -> str:
    """Loss and eval loss in one picture."""
    base = story.figures.get(BASE_EVAL_LOSS)
    curves = {
        "loss": losses_of(story.history, "loss"),
        "eval loss": losses_of(story.history, EVAL_LOSS),
    }
    level = None if base is None else (story.first_evaluation, base)
    return draw(curves, f"Loss of {story.run.job.name}", level=level)


def small_curves(story: Story) -> dict[str, str]:
    """The curves that explain the loss, by title; only logged ones."""
    pictures = {}
    for title, names in _SMALL.items():
        curves = {said: losses_of(story.history, name) for said, name in names.items()}
        if any(curves.values()):
            pictures[title] = draw(curves, title, width=NARROW)
    return pictures
