# SPDX-License-Identifier: Apache-2.0
"""What is trained: the whole model or an adapter, quantized or not, with what recomputed.

No I/O here.
"""

from collections.abc import Iterator

from finetune_contract.config.problem import Problem, quoted
from finetune_contract.config.reading import Context, Reading

_TARGETS = ("lora_target_modules", "lora_target_parameters", "lora_modules_to_save")
LORA_KEYS = (
    *_TARGETS,
    "lora_r",
    "lora_alpha",
    "lora_dropout",
    "lora_task_type",
    "use_rslora",
    "use_dora",
)


def check_adapter_is_on(config: Reading, context: Context) -> Iterator[Problem]:
    """`get_peft_config` returns None without `use_peft`: TRL would train the whole model, silently.

    With `use_peft: false` the user has said so, and only targets still contradict it.
    """
    if config["use_peft"]:
        return
    relevant = _TARGETS if config.is_set("use_peft") else LORA_KEYS
    found = [config.name(key) for key in relevant if config.is_set(key) and config[key]]
    if found:
        yield Problem(
            path=found[0],
            message="found without use_peft: true, so that the whole model would be trained: set "
            f"use_peft to true, or remove {' and '.join(found)}",
        )


def check_output_layer(config: Reading, context: Context) -> Iterator[Problem]:
    """`SFTTrainer.__init__` raises: its loss reads `lm_head.weight` past the adapter."""
    targets = config["lora_target_modules"]
    listed = [targets] if isinstance(targets, str) else targets or []
    if config["use_peft"] and "lm_head" in listed:
        yield Problem(
            path=config.name("lora_target_modules"),
            message="found lm_head, which TRL can't train with an adapter: to train it whole, move "
            "it to lora_modules_to_save",
        )


def check_target_parameters(config: Reading, context: Context) -> Iterator[Problem]:
    """PEFT's `ParamWrapper` raises for both; TRL's dropout is 0.05 unless it is said."""
    if not config["use_peft"] or not config["lora_target_parameters"]:
        return
    path = config.name("lora_target_parameters")
    if config.number("lora_dropout"):
        dropout = quoted(config["lora_dropout"])
        yield Problem(
            path=path, message=f"found beside lora_dropout: {dropout}, expected lora_dropout: 0"
        )
    if config["use_dora"]:
        yield Problem(path=path, message="found beside use_dora: true, expected one of them")


def check_quantization(config: Reading, context: Context) -> Iterator[Problem]:
    """`ModelConfig.__post_init__` raises for both widths, `SFTTrainer` for two places, and
    `validate_quantization_for_training` for a quantized model without an adapter.
    """
    widths = [key for key in ("load_in_4bit", "load_in_8bit") if config[key]]
    if not widths:
        return
    path = config.name(widths[0])
    if len(widths) > 1:
        yield Problem(path=path, message="found true beside load_in_8bit: true, expected one")
    if not config["use_peft"]:
        yield Problem(
            path=path,
            message="found true without use_peft: true: quantized weights can't be trained, only "
            "an adapter on them: set use_peft to true",
        )
    if "quantization_config" in config.mapping("model_init_kwargs"):
        yield Problem(
            path=config.name("model_init_kwargs"),
            message=f"found quantization_config beside {path}: true, expected one of them",
        )


def check_dtype_of_quantized(config: Reading, context: Context) -> Iterator[Problem]:
    """`BitsAndBytesConfig.__init__` looks the name up in torch, which has no `auto`."""
    if config["load_in_4bit"] and config["dtype"] == "auto":
        yield Problem(
            path=config.name("dtype"),
            message='found "auto" beside load_in_4bit: true, expected what to compute in: '
            "bfloat16 where the GPU has it",
        )


def check_selective_recomputation(config: Reading, context: Context) -> Iterator[Problem]:
    """`SFTTrainer.__init__` raises; each pair of keys is one key and its older name."""
    key = "activation_checkpointing_kwargs"
    if config[key] is None:
        key = "gradient_checkpointing_kwargs"
    options = config.mapping(key)
    if not options.get("selective"):
        return
    if not recomputes_activations(config):
        yield Problem(
            path=config.name(key),
            message="found selective: true while activation_checkpointing is off: set it to true",
        )
    if options.get("use_reentrant"):
        yield Problem(
            path=config.name(key),
            message="found selective: true beside use_reentrant: true, expected one of them",
        )


def recomputes_activations(config: Reading) -> bool:
    """`gradient_checkpointing` counts only where the newer key says nothing."""
    newer = config["activation_checkpointing"]
    return bool(config["gradient_checkpointing"] if newer is None else newer)


def check_optimizer_targets(config: Reading, context: Context) -> Iterator[Problem]:
    """`transformers.trainer_optimizer._setup_low_rank_optimizer` raises."""
    optimizer = str(config["optim"])
    if not optimizer.startswith(("galore_", "apollo_")):
        return
    if config["optim_target_modules"] is None:
        yield Problem(
            path=config.name("optim"),
            message=f"found {quoted(optimizer)} without optim_target_modules: set it, e.g. to "
            "all-linear",
        )
    if optimizer.endswith("_layerwise") and config.number("gradient_accumulation_steps") > 1:
        yield Problem(
            path=config.name("optim"),
            message=f"found {quoted(optimizer)} beside gradient_accumulation_steps: "
            f"{quoted(config['gradient_accumulation_steps'])}, expected 1 there",
        )
    if optimizer.endswith("_layerwise") and (context.world_size or 1) > 1:
        yield Problem(
            path=config.name("optim"),
            message=f"found {quoted(optimizer)} in a job of {context.world_size} processes, and it "
            "works only in one",
        )


def check_fused_loss(config: Reading, context: Context) -> Iterator[Problem]:
    """`SFTTrainer.__init__` raises: it computes the loss without Liger."""
    options = config.mapping("liger_kernel_config")
    if config["use_liger_kernel"] and options.get("fused_linear_cross_entropy"):
        yield Problem(
            path=f"{config.name('liger_kernel_config')}.fused_linear_cross_entropy",
            message="found true, expected false: TRL's own loss is fused already",
        )


RULES = (
    check_adapter_is_on,
    check_output_layer,
    check_target_parameters,
    check_quantization,
    check_dtype_of_quantized,
    check_selective_recomputation,
    check_optimizer_targets,
    check_fused_loss,
)
