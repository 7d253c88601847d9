# SPDX-License-Identifier: Apache-2.0
"""Evaluation, saving, and the schedule of the learning rate. No I/O here."""

from collections.abc import Iterator, Mapping

from finetune_spec.config.parse.reading import MICRO_BATCH, Context, Reading
from finetune_spec.config.problem import Problem, did_you_mean, quoted

_LARGE = 1_000_000
"""With this factor transformers compares fractions of the training (0.1) as integers."""


def check_best_model(config: Reading, context: Context) -> Iterator[Problem]:
    """`TrainingArguments._validate_args` raises if the two strategies differ."""
    saving, evaluating = config["save_strategy"], config["eval_strategy"]
    if not config["load_best_model_at_end"] or saving in ("best", evaluating):
        return
    if evaluating == "no":
        message = (
            f"found true without evaluations to select a model by: set eval_strategy to {saving}"
        )
    else:
        message = (
            f"found true together with eval_strategy: {quoted(evaluating)} and save_strategy: "
            f"{quoted(saving)}, expected both to be the same"
        )
    yield Problem(path=config.name("load_best_model_at_end"), message=message)


def check_auto_batch(config: Reading, context: Context) -> Iterator[Problem]:
    """The user sets the effective batch; GPU memory must not determine it."""
    if config.has_auto_batch and not config.is_set("gradient_accumulation_steps"):
        yield Problem(
            path=config.name(MICRO_BATCH),
            message='found "auto" without gradient_accumulation_steps: set that to the number of '
            "rows per step and process, such as 16; they are split into the largest "
            "micro-batches that fit",
        )


def check_steps_of_best_model(config: Reading, context: Context) -> Iterator[Problem]:
    """`TrainingArguments._validate_args` raises unless every checkpoint has its evaluation.

    Without `eval_steps` TRL evaluates at each log line, which is every step by default.
    """
    strategies = {config["save_strategy"], config["eval_strategy"]}
    if not config["load_best_model_at_end"] or strategies != {"steps"}:
        return
    if not config["eval_steps"] and not config.is_set("logging_steps"):
        return
    evaluating = config.number("eval_steps") or config.number("logging_steps")
    saving = config.number("save_steps")
    if not evaluating or not saving or saving % evaluating == 0:
        return
    found = f"found {quoted(config['save_steps'])}"
    every = f"eval_steps ({quoted(config['eval_steps'] or config['logging_steps'])})"
    if (evaluating < 1) != (saving < 1):
        message = f"{found}, expected a share of the training as {every} is, or both in steps"
    elif evaluating < 1 and (saving * _LARGE) % (evaluating * _LARGE) == 0:
        return
    else:
        message = f"{found}, expected a multiple of {every}, for load_best_model_at_end"
    yield Problem(path=config.name("save_steps"), message=message)


def check_saving_the_best(config: Reading, context: Context) -> Iterator[Problem]:
    """`Trainer._validate_args` raises; these other keys make the loss the metric."""
    if (
        config["save_strategy"] == "best"
        and config["metric_for_best_model"] is None
        and not config["load_best_model_at_end"]
        and config["lr_scheduler_type"] not in _BY_EVALUATION
    ):
        yield Problem(
            path=config.name("save_strategy"),
            message='found "best" without metric_for_best_model: set it, e.g. to eval_loss',
        )


_BY_EVALUATION = ("reduce_lr_on_plateau", "greedy")
"""The schedulers that read the evaluation's loss."""


def check_evaluation_is_on(config: Reading, context: Context) -> Iterator[Problem]:
    """`_validate_args` raises for the schedulers, `get_eval_dataloader` at the first step."""
    if config.is_evaluated:
        return
    needs = 'without evaluations: set eval_strategy to "steps" or "epoch"'
    if config["lr_scheduler_type"] in _BY_EVALUATION:
        found = quoted(config["lr_scheduler_type"])
        yield Problem(path=config.name("lr_scheduler_type"), message=f"found {found} {needs}")
    if config["eval_on_start"]:
        yield Problem(path=config.name("eval_on_start"), message=f"found true {needs}")


_SCHEDULER_NEEDS = {
    "cosine_with_min_lr": ("min_lr_rate", "min_lr"),
    "cosine_warmup_with_min_lr": ("min_lr_rate", "min_lr"),
    "warmup_stable_decay": ("num_decay_steps",),
}
"""Scheduler -> the keys of `lr_scheduler_kwargs` of which exactly one is required."""


def check_scheduler_options(config: Reading, context: Context) -> Iterator[Problem]:
    """The functions of `transformers.optimization` raise when the scheduler is made."""
    scheduler = config["lr_scheduler_type"]
    given = config["lr_scheduler_kwargs"]
    needed = _SCHEDULER_NEEDS.get(scheduler)
    if needed is None or isinstance(given, str):
        return
    present = [key for key in needed if (given or {}).get(key) is not None]
    if len(present) > 1:
        yield Problem(
            path=config.name("lr_scheduler_kwargs"),
            message=f"found {' and '.join(sorted(present))}, expected only one of them",
        )
    elif not present:
        yield Problem(
            path=config.name("lr_scheduler_type"),
            message=f"found {quoted(scheduler)} without {needed[0]}: set it in lr_scheduler_kwargs",
        )


_SCHEDULER_TAKES: Mapping[str, tuple[str, ...]] = {
    "linear": (),
    "cosine": ("num_cycles",),
    "cosine_with_restarts": ("num_cycles",),
    "polynomial": ("lr_end", "power"),
    "inverse_sqrt": ("timescale",),
    "cosine_with_min_lr": ("min_lr", "min_lr_rate", "num_cycles"),
    "cosine_warmup_with_min_lr": ("min_lr", "min_lr_rate", "num_cycles", "warmup_lr_rate"),
    "warmup_stable_decay": (
        *("num_decay_steps", "num_stable_steps", "warmup_type", "decay_type", "min_lr_ratio"),
        "num_cycles",
    ),
}
"""Scheduler -> the keys of `lr_scheduler_kwargs` that its function accepts. The others accept none,
or pass them on to torch.
"""

_ALWAYS_TAKEN = ("last_epoch",)


def check_foreign_scheduler_options(config: Reading, context: Context) -> Iterator[Problem]:
    """Another key is a TypeError when the scheduler is made, after the model was loaded."""
    scheduler = config["lr_scheduler_type"]
    taken = _SCHEDULER_TAKES.get(scheduler)
    if taken is None:
        return
    # Rendered once: a tenant may write thousands of keys.
    name = config.name("lr_scheduler_kwargs")
    refusal = f"not an option of lr_scheduler_type: {quoted(scheduler)}"
    for key in config.mapping("lr_scheduler_kwargs"):
        if key not in (*taken, *_ALWAYS_TAKEN):
            yield Problem(
                path=f"{name}.{key}",
                message=f"{refusal}{did_you_mean(key, taken) or _who_takes(key)}",
            )


def _who_takes(option: str) -> str:
    schedulers = [name for name, taken in _SCHEDULER_TAKES.items() if option in taken]
    return f", which {' and '.join(schedulers[:2])} would take" if schedulers else ""


def check_something_is_trained(config: Reading, context: Context) -> Iterator[Problem]:
    """The trainer would load everything, take no step and report success."""
    if config.number("num_train_epochs") <= 0 and config.number("max_steps") <= 0:
        yield Problem(
            path=config.name("num_train_epochs"),
            message=f"found {quoted(config['num_train_epochs'])}, expected above 0: nothing would "
            "be trained",
        )


RULES = (
    check_auto_batch,
    check_something_is_trained,
    check_foreign_scheduler_options,
    check_best_model,
    check_steps_of_best_model,
    check_saving_the_best,
    check_evaluation_is_on,
    check_scheduler_options,
)
