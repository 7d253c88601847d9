# SPDX-License-Identifier: Apache-2.0
"""Keys that TRL ignores because of other keys: the table `IDLE`. No I/O here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from finetune_spec.config.check.rules.data import streams_by
from finetune_spec.config.check.rules.tuning import LORA_KEYS
from finetune_spec.config.parse.reading import Context, Reading
from finetune_spec.config.problem import Problem, quoted, warning


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """A key that has no effect in some configs."""

    keys: tuple[str, ...]
    because: Callable[[Reading, Context], str | None]
    """Why it has no effect here, and the remedy; None if it has one."""


def _without_evaluation(config: Reading, context: Context) -> str | None:
    """`sft.py` gives the trainer no evaluation data."""
    if config.is_evaluated:
        return None
    return 'while eval_strategy is "no": set it to "steps" or "epoch" to evaluate'


def _without_samples(config: Reading, context: Context) -> str | None:
    return "while num_eval_samples is 0" if config["num_eval_samples"] == 0 else None


def _without_patience(config: Reading, context: Context) -> str | None:
    return "without early_stopping_patience" if config["early_stopping_patience"] is None else None


def _in_other_steps(what: str) -> Callable[[Reading, Context], str | None]:
    """`DefaultFlowCallback` reads the steps only with the strategy `steps`."""

    def because(config: Reading, context: Context) -> str | None:
        strategy = config[f"{what}_strategy"]
        if strategy == "steps" or (what == "eval" and strategy == "no"):
            return None
        return f"while {what}_strategy is {quoted(strategy)}"

    return because


def _beside_max_steps(config: Reading, context: Context) -> str | None:
    """`Trainer`: "max_steps is given, it will override any value given in num_train_epochs"."""
    steps = config["max_steps"]
    return f"beside max_steps: {quoted(steps)}" if config.number("max_steps") > 0 else None


def _constant_rate(config: Reading, context: Context) -> str | None:
    """`get_scheduler` gives this one no warmup."""
    if config["lr_scheduler_type"] != "constant" or config.number("warmup_steps") == 0:
        return None
    return 'with lr_scheduler_type: "constant": use "constant_with_warmup"'


def _nothing_to_choose(config: Reading, context: Context) -> str | None:
    """There is never a best checkpoint. If TRL raises instead, that is a rule."""
    is_rule = config["save_strategy"] not in ("best", "no")
    return None if is_rule else _without_evaluation(config, context)


def _without_adapter(config: Reading, context: Context) -> str | None:
    """`get_peft_config`; without an explicit `use_peft: false`, that is a rule."""
    said = config.is_set("use_peft") and not config["use_peft"]
    return "while use_peft is false" if said else None


def _without_4_bits(config: Reading, context: Context) -> str | None:
    """`get_quantization_config`."""
    return None if config["load_in_4bit"] else "without load_in_4bit: true"


def _nothing_recomputed(config: Reading, context: Context) -> str | None:
    return None if config.recomputes_by_trl else "while activation_checkpointing is off"


def _single_data_set(config: Reading, context: Context) -> str | None:
    """`DatasetMixtureConfig`; a single dataset has its own key for streaming."""
    if config["datasets"]:
        return None
    return "without datasets: it applies to mixtures; for dataset_name, use dataset_streaming"


def _mixture(config: Reading, context: Context) -> str | None:
    """`sft.py` loads only the mixture."""
    return "with datasets: add it there, or remove one of them" if config["datasets"] else None


def _stream(config: Reading, context: Context) -> str | None:
    """`SFTTrainer` gives a stream no processes, and `Trainer` no sampler."""
    key = streams_by(config)
    return f"while {key} is true" if key else None


def _stream_in_order(config: Reading, context: Context) -> str | None:
    """A stream keeps its order anyway; grouping by length is not applied."""
    grouped = config["train_sampling_strategy"] in ("group_by_length", "batch_rebalance")
    return _stream(config, context) if grouped else None


def _not_pushed(config: Reading, context: Context) -> str | None:
    return None if config["push_to_hub"] else "without push_to_hub: true"


def _not_trackio(config: Reading, context: Context) -> str | None:
    """Only `TrackioCallback` reads them."""
    has_trackio = {"trackio", "all"} & set(config.trackers)
    return None if has_trackio else "unless report_to includes trackio"


def _not_sharded(config: Reading, context: Context) -> str | None:
    """`TrainingArguments._process_fsdp_args` returns immediately."""
    return None if config["fsdp"] else "without fsdp: true: the model would not be sharded"


def _no_gpu(config: Reading, context: Context) -> str | None:
    """`Accelerator` does not scale on CPUs, and `AcceleratorState` supports no FSDP there."""
    return "in a job without GPUs" if context.gpus_per_node == 0 else None


def _no_liger(config: Reading, context: Context) -> str | None:
    return None if config["use_liger_kernel"] else "without use_liger_kernel: true"


IDLE = (
    Idle(
        keys=("eval_steps", "eval_packing", "metric_for_best_model", "metric_fn"),
        because=_without_evaluation,
    ),
    Idle(keys=("eval_sample_max_tokens", "eval_sample_seconds"), because=_without_samples),
    Idle(keys=("early_stopping_threshold",), because=_without_patience),
    Idle(keys=("eval_steps",), because=_in_other_steps("eval")),
    Idle(keys=("save_steps",), because=_in_other_steps("save")),
    Idle(keys=("logging_steps",), because=_in_other_steps("logging")),
    Idle(keys=("load_best_model_at_end",), because=_nothing_to_choose),
    Idle(keys=("num_train_epochs",), because=_beside_max_steps),
    Idle(keys=("warmup_steps",), because=_constant_rate),
    Idle(
        keys=tuple(key for key in LORA_KEYS if "target" not in key and "save" not in key),
        because=_without_adapter,
    ),
    Idle(
        keys=("bnb_4bit_quant_type", "use_bnb_nested_quant", "bnb_4bit_quant_storage"),
        because=_without_4_bits,
    ),
    Idle(
        keys=("gradient_checkpointing_kwargs", "activation_checkpointing_kwargs"),
        because=_nothing_recomputed,
    ),
    Idle(keys=("liger_kernel_config",), because=_no_liger),
    Idle(keys=("streaming",), because=_single_data_set),
    Idle(keys=("dataset_name", "dataset_config", "dataset_streaming"), because=_mixture),
    Idle(keys=("dataset_num_proc",), because=_stream),
    Idle(keys=("train_sampling_strategy",), because=_stream_in_order),
    Idle(
        keys=("hub_model_id", "hub_strategy", "hub_revision", "hub_always_push"),
        because=_not_pushed,
    ),
    Idle(
        keys=("project", "trackio_space_id", "trackio_bucket_id", "trackio_static_space_id"),
        because=_not_trackio,
    ),
    Idle(keys=("fsdp_config",), because=_not_sharded),
    Idle(keys=("fp16", "fsdp"), because=_no_gpu),
)


def advise_on_idle_keys(config: Reading, context: Context) -> Iterator[Problem]:
    for idle in IDLE:
        for key in idle.keys:
            # Null, false and empty values have no effect by intention.
            if key in config.values and config[key] not in (None, False, [], {}, ""):
                reason = idle.because(config, context)
                if reason is not None:
                    yield warning(config.name(key), f"has no effect {reason}")


def advise_on_older_recomputation(config: Reading, context: Context) -> Iterator[Problem]:
    """`TrainingArguments.__post_init__`: the newer key takes precedence."""
    newer, older = config["activation_checkpointing"], config["gradient_checkpointing"]
    if config.is_set("gradient_checkpointing") and newer not in (None, older):
        yield warning(
            config.name("gradient_checkpointing"),
            f"has no effect together with activation_checkpointing: {quoted(newer)}",
        )


ADVICE = (advise_on_idle_keys, advise_on_older_recomputation)
