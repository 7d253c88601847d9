# SPDX-License-Identifier: Apache-2.0
"""Metrics of evaluations: a user's function, the best model, early stopping. No I/O here."""

from collections.abc import Iterator

from finetune_spec.config.parse.reading import Context, Reading
from finetune_spec.config.problem import Problem, did_you_mean, quoted

PREFIX = "eval_"
METRICS = ("eval_loss", "eval_mean_token_accuracy", "eval_entropy")
"""The metrics of TRL's evaluation."""

_ALSO_TOLD = (
    *("eval_num_tokens", "eval_aux_loss", "eval_runtime", "eval_samples_per_second"),
    "eval_steps_per_second",
)


def check_patience_has_evaluations(config: Reading, context: Context) -> Iterator[Problem]:
    """`EarlyStoppingCallback.on_train_begin` asserts it, after the model is loaded."""
    if config["early_stopping_patience"] is not None and not config.is_evaluated:
        yield Problem(
            path=config.name("early_stopping_patience"),
            message=f"found {quoted(config['early_stopping_patience'])} without evaluations to "
            'judge by: set eval_strategy to "steps" or "epoch"',
        )


def check_metric_is_told(config: Reading, context: Context) -> Iterator[Problem]:
    """`Trainer._determine_best_metric` raises at the first evaluation."""
    wanted = config["metric_for_best_model"]
    if wanted is None or not config.is_evaluated or config["metric_fn"] is not None:
        return
    if PREFIX + wanted.removeprefix(PREFIX) not in (*METRICS, *_ALSO_TOLD):
        bare = wanted.removeprefix(PREFIX)
        known = [name if wanted.startswith(PREFIX) else name[len(PREFIX) :] for name in METRICS]
        yield Problem(
            path=config.name("metric_for_best_model"),
            message=f"found {quoted(wanted)}, expected {', '.join(METRICS[:-1])} or "
            f"{METRICS[-1]}{did_you_mean(wanted, known)}; only a metric_fn can return {bare}",
        )


def check_metric_fn_has_answers(config: Reading, context: Context) -> Iterator[Problem]:
    """The trainer raises before the first step."""
    name = config["metric_fn"]
    if name is None or not config.is_evaluated:
        return
    if config["num_eval_samples"] == 0:
        yield Problem(
            path=config.name("metric_fn"),
            message=f"found {quoted(name)} together with num_eval_samples: 0, which leaves no "
            "answers to evaluate: set it to at least 1",
        )
    if config["fsdp"] and config.fsdp_option("version") == 1:
        yield Problem(
            path=config.name("metric_fn"),
            message=f"found {quoted(name)} together with FSDP 1, with which a model cannot "
            "generate answers during training: write accelerate_config: fsdp2, or remove metric_fn",
        )


RULES = (
    check_patience_has_evaluations,
    check_metric_is_told,
    check_metric_fn_has_answers,
)
