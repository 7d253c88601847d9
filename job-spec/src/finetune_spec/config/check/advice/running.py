# SPDX-License-Identifier: Apache-2.0
"""Checkpoints, logging and time of a run. No I/O here."""

from collections.abc import Iterator

from finetune_spec.config.parse.reading import Context, Reading
from finetune_spec.config.problem import Problem, quoted, warning

_FEWEST_USUAL_STEPS = 10
"""Between two evaluations: the same number as between two of TRL's log lines."""


def advise_on_late_checkpoints(config: Reading, context: Context) -> Iterator[Problem]:
    """An interrupted job resumes from its newest checkpoint."""
    steps = config.number("max_steps")
    is_late = config.is_set("save_steps") and 0 < steps < config.number("save_steps")
    if is_late and config["save_strategy"] == "steps":
        yield warning(
            config.name("save_steps"),
            f"max_steps: {quoted(config['max_steps'])} is reached first; no checkpoint is "
            "written before the end",
        )


def advise_on_late_evaluation(config: Reading, context: Context) -> Iterator[Problem]:
    steps = config.number("max_steps")
    if config["eval_strategy"] == "steps" and 0 < steps < config.number("eval_steps"):
        yield warning(
            config.name("eval_steps"),
            f"max_steps: {quoted(config['max_steps'])} is reached first; nothing will be evaluated",
        )


def advise_on_frequent_evaluation(config: Reading, context: Context) -> Iterator[Problem]:
    """`TrainingArguments` uses `logging_steps` if `eval_steps` is not set."""
    steps = config["logging_steps"]
    is_frequent = config.is_set("logging_steps") and 0 < steps < _FEWEST_USUAL_STEPS
    if config["eval_strategy"] == "steps" and not config["eval_steps"] and is_frequent:
        every = "step" if steps == 1 else f"{quoted(steps)} steps"
        yield warning(
            config.name("eval_strategy"),
            f"without eval_steps, an evaluation runs every {every}, as often as metrics are logged",
        )


def advise_on_no_best_checkpoint(config: Reading, context: Context) -> Iterator[Problem]:
    if config["save_strategy"] == "best" and not config.is_evaluated:
        yield warning(
            config.name("save_strategy"),
            'no checkpoint will be written while eval_strategy is "no": an interrupted job would '
            "start from the beginning",
        )


def advise_on_no_checkpoint(config: Reading, context: Context) -> Iterator[Problem]:
    if config.is_set("save_strategy") and config["save_strategy"] == "no":
        yield warning(
            config.name("save_strategy"),
            "no checkpoint will be written before the end: an interrupted job would start from "
            "the beginning",
        )


def advise_on_worst_checkpoint(config: Reading, context: Context) -> Iterator[Problem]:
    """With losses, the greatest would be kept as the best."""
    metric = config["metric_for_best_model"] or "loss"
    if config["greater_is_better"] and config["load_best_model_at_end"] and "loss" in metric:
        yield warning(
            config.name("greater_is_better"),
            f"found true together with metric_for_best_model: {quoted(metric)}, so the worst "
            "checkpoint would be kept: set it to false, or remove it",
        )


def advise_on_lone_shards(config: Reading, context: Context) -> Iterator[Problem]:
    """There is no other process to share with; only offloading would save memory."""
    offloads = config.fsdp_option("cpu_offload") or "offload" in str(config["fsdp"])
    if config["fsdp"] and context.world_size == 1 and not offloads and context.gpus_per_node:
        yield warning(
            config.name("fsdp"),
            "there is only one process, so nothing is sharded: request more in "
            "spec.resources.gpusPerNode, or remove it",
        )


def advise_on_whole_quantized_weights(config: Reading, context: Context) -> Iterator[Problem]:
    """`accelerate.utils.fsdp_utils.fsdp2_prepare_model` leaves out integer weights, and warns."""
    is_second = config["fsdp"] and config.fsdp_option("version") in (None, 2)
    if is_second and config["load_in_4bit"] and config["bnb_4bit_quant_storage"] in (None, "uint8"):
        yield warning(
            config.name("load_in_4bit"),
            "FSDP replicates the 4-bit weights on every GPU: to shard them, set "
            "bnb_4bit_quant_storage and dtype both to bfloat16",
        )


ADVICE = (
    advise_on_late_checkpoints,
    advise_on_late_evaluation,
    advise_on_frequent_evaluation,
    advise_on_no_best_checkpoint,
    advise_on_no_checkpoint,
    advise_on_worst_checkpoint,
    advise_on_lone_shards,
    advise_on_whole_quantized_weights,
)
