# SPDX-License-Identifier: Apache-2.0
"""Evaluations that are missing or incomplete. No I/O here."""

from collections.abc import Iterator

from finetune_spec.config.parse.reading import Context, Reading
from finetune_spec.config.problem import Problem, quoted, warning


def advise_on_code_of_the_data(config: Reading, context: Context) -> Iterator[Problem]:
    """A file of code can only be next to the data."""
    name = config["metric_fn"]
    if name is not None and name.partition(":")[0].endswith(".py"):
        yield warning(
            config.name("metric_fn"),
            f"{quoted(name)} is code stored next to the data: the trainer runs it, so anyone "
            "with write access there gains the trainer's permissions",
        )


def advise_on_no_comparison(config: Reading, context: Context) -> Iterator[Problem]:
    is_off = config.is_set("eval_on_start") and config["eval_on_start"] is False
    if is_off and config.is_evaluated:
        yield warning(
            config.name("eval_on_start"),
            "found false: the tuned model will not be compared with its base model",
        )


def advise_on_late_first_evaluation(config: Reading, context: Context) -> Iterator[Problem]:
    """`DefaultFlowCallback` counts the delay in the unit of the strategy."""
    lasts = {"steps": config.number("max_steps"), "epoch": config.number("num_train_epochs")}
    key = {"steps": "max_steps", "epoch": "num_train_epochs"}.get(config["eval_strategy"], "")
    limit = lasts.get(config["eval_strategy"], 0)
    is_cut = key == "num_train_epochs" and config.number("max_steps") > 0
    if not is_cut and 0 < limit < config.number("eval_delay"):
        yield warning(
            config.name("eval_delay"),
            f"{key}: {quoted(config[key])} is reached first; nothing will be evaluated",
        )


ADVICE = (
    advise_on_code_of_the_data,
    advise_on_no_comparison,
    advise_on_late_first_evaluation,
)
