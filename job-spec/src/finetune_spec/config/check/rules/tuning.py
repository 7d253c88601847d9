# SPDX-License-Identifier: Apache-2.0
"""The trained part: the full model or an adapter, quantized or not, with its checkpointing.

No I/O here.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from finetune_spec.config.parse.reading import Context, Reading
from finetune_spec.config.problem import Problem, quoted

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
    """`get_peft_config` returns None without `use_peft`: TRL would silently train the full model.

    `use_peft: false` is explicit, and then only targets contradict it.
    """
    if config["use_peft"]:
        return
    relevant = _TARGETS if config.is_set("use_peft") else LORA_KEYS
    found = [config.name(key) for key in relevant if config.is_set(key) and config[key]]
    if found:
        yield Problem(
            path=found[0],
            message="has no effect without use_peft: true, and the full model would be trained: "
            f"set use_peft to true, or remove {' and '.join(found)}",
        )


def check_merging(config: Reading, context: Context) -> Iterator[Problem]:
    """An adapter can only be merged if one was trained."""
    if config["merge_adapter"] and not config["use_peft"]:
        yield Problem(
            path=config.name("merge_adapter"),
            message="found true without use_peft: true: full fine-tuning already publishes a "
            "complete model; leave merge_adapter out, or set use_peft to true",
        )


def check_output_layer(config: Reading, context: Context) -> Iterator[Problem]:
    """`SFTTrainer.__init__` raises: its loss reads `lm_head.weight` past the adapter."""
    targets = config["lora_target_modules"]
    listed = [targets] if isinstance(targets, str) else targets or []
    if config["use_peft"] and "lm_head" in listed:
        yield Problem(
            path=config.name("lora_target_modules"),
            message="found lm_head, which TRL cannot train with an adapter: to train all of it, "
            "move it to lora_modules_to_save",
        )


def check_target_parameters(config: Reading, context: Context) -> Iterator[Problem]:
    """PEFT's `ParamWrapper` raises for both; TRL's default dropout is 0.05."""
    if not config["use_peft"] or not config["lora_target_parameters"]:
        return
    path = config.name("lora_target_parameters")
    if config.number("lora_dropout"):
        dropout = quoted(config["lora_dropout"])
        yield Problem(
            path=path,
            message=f"found together with lora_dropout: {dropout}, expected lora_dropout: 0",
        )
    if config["use_dora"]:
        yield Problem(
            path=path, message="found together with use_dora: true, expected only one of them"
        )


def check_quantization(config: Reading, context: Context) -> Iterator[Problem]:
    """`ModelConfig.__post_init__` raises for both widths, `SFTTrainer` for two places, and
    `validate_quantization_for_training` for a quantized model without an adapter.
    """
    widths = [key for key in ("load_in_4bit", "load_in_8bit") if config[key]]
    if not widths:
        return
    path = config.name(widths[0])
    if len(widths) > 1:
        yield Problem(
            path=path,
            message="found true together with load_in_8bit: true, expected only one of them",
        )
    if not config["use_peft"]:
        yield Problem(
            path=path,
            message="found true without use_peft: true: quantized weights cannot be trained, only "
            "an adapter on top of them: set use_peft to true",
        )
    if "quantization_config" in config.mapping("model_init_kwargs"):
        yield Problem(
            path=config.name("model_init_kwargs"),
            message=f"found quantization_config together with {path}: true, expected only one of "
            "them",
        )


def check_dtype_of_quantized(config: Reading, context: Context) -> Iterator[Problem]:
    """`BitsAndBytesConfig.__init__` looks the name up in torch, which has no `auto`."""
    if config["load_in_4bit"] and config["dtype"] == "auto":
        yield Problem(
            path=config.name("dtype"),
            message='found "auto" together with load_in_4bit: true, expected the type for '
            "computation: bfloat16 if the GPU supports it",
        )


def check_quantized_dora(config: Reading, context: Context) -> Iterator[Problem]:
    """PEFT's `dequantize_module_weight` moves 8-bit weights "back to CPU" without their scales, and
    the second forward pass fails. It does not move them on a GPU, and copies 4-bit weights.
    """
    if config["use_dora"] and config["load_in_8bit"] and context.gpus_per_node == 0:
        yield Problem(
            path=config.name("use_dora"),
            message="found true together with load_in_8bit: true in a job without GPUs, where PEFT "
            "does not support it: set load_in_4bit instead, or remove one of them",
        )


def check_frozen_layers(config: Reading, context: Context) -> Iterator[Problem]:
    """The ranks freeze the model's own weights, none of which an adapter trains."""
    if not config["num_layers_unfrozen"]:
        return
    path = config.name("num_layers_unfrozen")
    if config["use_peft"]:
        yield Problem(
            path=path,
            message="found together with use_peft: true, which freezes every layer already: remove "
            "one of them",
        )
    elif config["added_tokens"]:
        yield Problem(
            path=path,
            message="found together with added_tokens, whose embeddings it would freeze: remove "
            "one of them, or set use_peft to true instead",
        )
    layers = None if context.model is None else _layers_of(context.model)
    if layers is not None and config.number("num_layers_unfrozen") > layers:
        yield Problem(
            path=path,
            message=f"found {quoted(config['num_layers_unfrozen'])}, expected at most {layers}, "
            "the layers of the model",
        )


_LAYERS = ("num_hidden_layers", "n_layer", "num_layers")


def _layers_of(model: Mapping[str, Any]) -> int | None:
    """From the model's config.json; of its text model if it has several parts."""
    text = model.get("text_config")
    for part in (text if isinstance(text, Mapping) else {}, model):
        for name in _LAYERS:
            if isinstance(part.get(name), int):
                return int(part[name])
    return None


def check_added_tokens(config: Reading, context: Context) -> Iterator[Problem]:
    """A tokenizer silently drops a token without text, and its embedding could not be found."""
    for place, token in enumerate(config["added_tokens"] or ()):
        if isinstance(token, str) and not token.strip():
            yield Problem(
                path=f"{config.name('added_tokens')}[{place}]",
                message=f"found {quoted(token)}, expected a token with text",
            )


def check_selective_recomputation(config: Reading, context: Context) -> Iterator[Problem]:
    """`SFTTrainer.__init__` raises; each pair of keys is one key and its older name."""
    key = config.recomputation_key("_kwargs")
    options = config.mapping(key)
    if not options.get("selective"):
        return
    if not config.recomputes_by_trl:
        yield Problem(
            path=config.name(key),
            message="found selective: true while activation_checkpointing is off: set it to true",
        )
    if options.get("use_reentrant"):
        yield Problem(
            path=config.name(key),
            message="found selective: true together with use_reentrant: true, expected only one of "
            "them",
        )


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
            message=f"found {quoted(optimizer)} together with gradient_accumulation_steps: "
            f"{quoted(config['gradient_accumulation_steps'])}, expected 1 there",
        )
    if optimizer.endswith("_layerwise") and (context.world_size or 1) > 1:
        yield Problem(
            path=config.name("optim"),
            message=f"found {quoted(optimizer)} in a job of {context.world_size} processes, but it "
            "supports only one",
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
    check_merging,
    check_output_layer,
    check_target_parameters,
    check_quantization,
    check_dtype_of_quantized,
    check_quantized_dora,
    check_frozen_layers,
    check_added_tokens,
    check_selective_recomputation,
    check_optimizer_targets,
    check_fused_loss,
)
