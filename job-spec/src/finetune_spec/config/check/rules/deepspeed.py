# SPDX-License-Identifier: Apache-2.0
"""An inline DeepSpeed config against the other keys. No I/O here.

A path to a file is not checked here: only the trainer can read the file.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from finetune_spec.config.check.values import is_number
from finetune_spec.config.parse.reading import Context, Reading
from finetune_spec.config.problem import Problem, quoted


def stage_of(config: Reading) -> int | None:
    """The ZeRO stage; None without DeepSpeed or if its config is a file."""
    stage = _at(config.mapping("deepspeed"), "zero_optimization.stage")
    return stage if isinstance(stage, int) else None


def check_same_values(config: Reading, context: Context) -> Iterator[Problem]:
    """`HfTrainerDeepSpeedConfig.trainer_config_finalize` raises, after the model was loaded."""
    options = config.mapping("deepspeed")
    for place, (expected, ours) in _twice_said(config, context).items():
        found = _at(options, place)
        if expected is None or found is None or found == "auto" or found == expected:
            continue
        yield Problem(
            path=f"{config.name('deepspeed')}.{place}",
            message=f"found {quoted(found)}, expected {_wanted(expected)} as {ours}",
        )


def _wanted(expected: Any) -> str:
    return '"auto",' if expected == "auto" else f'"auto", or {quoted(expected)}'


def _twice_said(config: Reading, context: Context) -> Mapping[str, tuple[Any, str]]:
    """DeepSpeed's key -> its required value (None if unknown), and the keys that determine it."""
    # An automatic micro-batch is no number that could be set twice.
    micro, accumulated = (
        "auto" if config.has_auto_batch else config["per_device_train_batch_size"],
        "auto" if config.has_auto_batch else config["gradient_accumulation_steps"],
    )
    world = context.world_size
    batch = None if world is None else config.effective_batch(world)
    bf16 = _bf16(config, context)
    rate = config["learning_rate"]
    return {
        "train_micro_batch_size_per_gpu": (micro, "per_device_train_batch_size"),
        "gradient_accumulation_steps": (accumulated, "gradient_accumulation_steps"),
        "train_batch_size": (
            batch,
            f"per_device_train_batch_size x gradient_accumulation_steps x {world} processes",
        ),
        "gradient_clipping": (config["max_grad_norm"], "max_grad_norm"),
        "optimizer.params.lr": (rate, "learning_rate"),
        "optimizer.params.betas": (
            [config["adam_beta1"], config["adam_beta2"]],
            "adam_beta1 and adam_beta2",
        ),
        "optimizer.params.eps": (config["adam_epsilon"], "adam_epsilon"),
        "optimizer.params.weight_decay": (config["weight_decay"], "weight_decay"),
        "scheduler.params.warmup_max_lr": (rate, "learning_rate"),
        "fp16.enabled": (bool(config["fp16"] or config["fp16_full_eval"]), "fp16"),
        "bf16.enabled": (bf16, "bf16, which is on unless fp16 is"),
    }


def _bf16(config: Reading, context: Context) -> bool | None:
    """Whether bf16 is on: the default on a GPU without fp16."""
    if config["bf16"] is None and context.gpus_per_node in (None, 0):
        return None
    chosen = not config["fp16"] if config["bf16"] is None else config["bf16"]
    return bool(chosen or config["bf16_full_eval"])


def check_quantized_shards(config: Reading, context: Context) -> Iterator[Problem]:
    """ZeRO-3 shards quantized weights only if they are stored as floats like the others'.

    PEFT's guide to DeepSpeed requires `bnb_4bit_quant_storage` to be the model's dtype; with 8 bits
    the loss is wrong by an order of magnitude (bitsandbytes, issue 1451).
    """
    if stage_of(config) != 3:
        return
    storage, dtype = config["bnb_4bit_quant_storage"], config["dtype"]
    if config["load_in_8bit"]:
        yield Problem(
            path=config.name("load_in_8bit"),
            message="found true together with DeepSpeed's ZeRO-3, which computes incorrectly with "
            f"8-bit weights: {_lower(config)}",
        )
    if config["load_in_4bit"] and (storage is None or storage != dtype):
        both = "bnb_4bit_quant_storage and dtype both to bfloat16"
        alike = f"bnb_4bit_quant_storage to {dtype}" if dtype in _HALVES else both
        yield Problem(
            path=config.name("load_in_4bit"),
            message="found true together with DeepSpeed's ZeRO-3, which cannot shard 4-bit weights "
            f"as configured: {_lower(config)}, or {alike}",
        )


def _lower(config: Reading) -> str:
    """The change to a stage that does not shard weights."""
    match config.spellings.get("deepspeed"):
        case None:
            return "set deepspeed.zero_optimization.stage to 2"
        case "accelerate_config":
            return "set accelerate_config to zero2"
    return "set accelerate_config.deepspeed_config.zero_stage to 2"


_HALVES = ("bfloat16", "float16")


def check_fp16_on_cpus(config: Reading, context: Context) -> Iterator[Problem]:
    """`DeepSpeedEngine._do_sanity_check` raises; without DeepSpeed it has no effect there."""
    if not config["deepspeed"] or context.gpus_per_node != 0:
        return
    for key in ("fp16", "fp16_full_eval"):
        if config[key]:
            yield Problem(
                path=config.name(key),
                message="found true together with DeepSpeed in a job without GPUs: remove it",
            )


def check_token_rows_on_cpus(config: Reading, context: Context) -> Iterator[Problem]:
    """PEFT's `TrainableTokensLayer` gathers the rows of ZeRO-3's shards on GPUs only."""
    is_wanted = config["use_peft"] and config["added_tokens"] and stage_of(config) == 3
    if is_wanted and context.gpus_per_node == 0:
        yield Problem(
            path=config.name("added_tokens"),
            message="found together with use_peft: true and DeepSpeed's ZeRO-3 in a job without "
            f"GPUs, where PEFT cannot gather the rows of an embedding: {_lower(config)}, or "
            "remove use_peft",
        )


def check_automatic_batch(config: Reading, context: Context) -> Iterator[Problem]:
    """`Trainer.create_accelerator_and_postprocess` raises."""
    if config["auto_find_batch_size"] and stage_of(config) == 3:
        yield Problem(
            path=config.name("auto_find_batch_size"),
            message="found true together with DeepSpeed's ZeRO-3: remove it, and set "
            "per_device_train_batch_size",
        )


def _at(options: Mapping[str, Any], place: str) -> Any:
    """The value at a dotted place; numbers as floats, so that 1 equals 1.0."""
    found: Any = options
    for key in place.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(key)
    return found if not is_number(found) else (int(found) if float(found).is_integer() else found)


RULES = (
    check_same_values,
    check_quantized_shards,
    check_token_rows_on_cpus,
    check_fp16_on_cpus,
    check_automatic_batch,
)
