# SPDX-License-Identifier: Apache-2.0
"""Data types, and the hardware that supports them. No I/O here."""

from collections.abc import Iterator

from finetune_spec.config.parse.reading import Context, Reading
from finetune_spec.config.problem import Problem, quoted

ONLY_AS_PACKAGES = ("flash_attention_3", "flash_attention_4")
"""`flash_attention_2` is not listed: without its package torch's own attention is used."""
FLASH_ATTENTION = ("flash_attention_2", *ONLY_AS_PACKAGES)
_HAS_NONE = "in a job without GPUs: remove it, or request GPUs in spec.resources.gpusPerNode"


def check_precision(config: Reading, context: Context) -> Iterator[Problem]:
    """`TrainingArguments._validate_args` raises."""
    if config["bf16"] and config["fp16"]:
        yield Problem(
            path=config.name("fp16"),
            message="found true together with bf16: true, expected only one of them; bf16 if the "
            "GPU supports it",
        )
    if config["bf16_full_eval"] and config["fp16_full_eval"]:
        yield Problem(
            path=config.name("fp16_full_eval"),
            message="found true together with bf16_full_eval: true, expected only one of them",
        )


def check_scaled_weights(config: Reading, context: Context) -> Iterator[Problem]:
    """torch's GradScaler raises "Attempting to unscale FP16 gradients" at the first step.

    With LoRA the trained weights are in float32 whatever the dtype of the model.
    """
    if config["fp16"] and config["dtype"] == "float16" and not config["use_peft"]:
        yield Problem(
            path=config.name("dtype"),
            message='found "float16" together with fp16: true, which requires weights in "float32"',
        )


def check_flash_attention(config: Reading, context: Context) -> Iterator[Problem]:
    """The kernels support only half precision, and the model's default `dtype` is float32."""
    attention = config["attn_implementation"]
    if attention not in FLASH_ATTENTION or context.gpus_per_node == 0:
        return
    computes_in_half = config["fp16"] or config["bf16"] is not False
    if config["dtype"] == "float32" and not computes_in_half:
        yield Problem(
            path=config.name("attn_implementation"),
            message=f'found {quoted(attention)} together with bf16: false and dtype: "float32", '
            "which it does not support: remove bf16",
        )


def check_without_gpu(config: Reading, context: Context) -> Iterator[Problem]:
    """On CPUs `TrainingArguments` raises for tf32 and, without `use_cpu`, for bf16; transformers
    for flash attention without a substitute, which `flash_attention_2` has. TRL's offloading
    requires a GPU, as do Liger's Triton kernels.
    """
    if context.gpus_per_node != 0:
        return
    if config["attn_implementation"] in ONLY_AS_PACKAGES:
        found = quoted(config["attn_implementation"])
        yield Problem(path=config.name("attn_implementation"), message=f"found {found} {_HAS_NONE}")
    for key in ("tf32", "activation_offloading", "use_liger_kernel"):
        if config[key]:
            yield Problem(path=config.name(key), message=f"found true {_HAS_NONE}")
    if config.is_set("use_cpu") and not config["use_cpu"]:
        for key in ("bf16", "bf16_full_eval"):
            if config[key]:
                yield Problem(
                    path=config.name("use_cpu"),
                    message=f"found false together with {key}: true in a job without GPUs: remove "
                    "it",
                )


def check_use_of_gpus(config: Reading, context: Context) -> Iterator[Problem]:
    """`TrainingArguments._setup_devices` uses the CPU: the requested GPUs would be idle."""
    if config["use_cpu"] and context.gpus_per_node:
        yield Problem(
            path=config.name("use_cpu"),
            message=f"found true in a job with {context.gpus_per_node} GPUs per node: remove it, "
            "or set spec.resources.gpusPerNode to 0",
        )


RULES = (
    check_precision,
    check_scaled_weights,
    check_flash_attention,
    check_without_gpu,
    check_use_of_gpus,
)
