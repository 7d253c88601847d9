# SPDX-License-Identifier: Apache-2.0
"""Names: one of a few, or several; any other gets the nearest valid one."""

from typing import Any

import pytest

from finetune_spec.config.check.choices import NAMES, TRACKERS
from finetune_spec.config.parse.schema import load_schema
from finetune_spec.config.suggest.tables import choice_habits
from spec.config.single_values import refusals


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attn_implementation", "kernels-community/flash-attn3"),
        ("attn_implementation", "kernels-community/flash-attn2@v1:layer"),
        ("attn_implementation", "sdpa"),
        ("attn_implementation", None),
        ("debug", ["underflow_overflow", "tpu_metrics_debug"]),
        ("dtype", "auto"),
        ("dtype", None),
        ("fsdp", ""),
        ("fsdp", "full_shard auto_wrap"),
        ("fsdp", False),
        ("lora_task_type", "CAUSAL_LM"),
        ("report_to", "all"),
        ("report_to", "none"),
        ("report_to", ["none"]),
        ("report_to", []),
        ("report_to", ["wandb", "tensorboard"]),
        ("torch_compile_backend", "INDUCTOR"),
        ("torch_compile_backend", "eager"),
        ("torch_compile_mode", "max-autotune"),
    ],
)
def test_a_name_that_transformers_supports_is_accepted(key: str, value: Any) -> None:
    assert refusals(key, value) == []


@pytest.mark.parametrize(
    ("key", "value", "meant"),
    [
        ("attn_implementation", "fa2", "flash_attention_2"),
        ("attn_implementation", "flash-attention-2", "flash_attention_2"),
        ("attn_implementation", "flash_attention2", "flash_attention_2"),
        ("bnb_4bit_quant_storage", "uint9", "uint8"),
        ("dtype", "bf16", "bfloat16"),
        ("dtype", "torch.float16", "float16"),
        ("eval_strategy", "epochs", "epoch"),
        ("eval_strategy", "none", '"no"'),
        ("fsdp", "ful_shard auto_wrap", "full_shard"),
        ("fsdp", "full_shard,auto_wrap", '"full_shard auto_wrap"'),
        ("log_level", "WARN", "warning"),
        ("lora_task_type", "causal_lm", "CAUSAL_LM"),
        ("lr_scheduler_type", "Cosine", "cosine"),
        ("optim", "adamw", "adamw_torch"),
        ("optim", "paged_adamw_8bits", "paged_adamw_8bit"),
        ("packing_strategy", "bfd-requeue", "bfd_split"),
        ("report_to", "TensorBoard", "tensorboard"),
        ("report_to", "no", "none"),
        ("report_to", "wandbb", "wandb"),
        ("save_strategy", "Steps", "steps"),
        ("torch_compile_mode", "max_autotune", "max-autotune"),
    ],
)
def test_an_unknown_name_gets_the_nearest_supported_one(key: str, value: str, meant: str) -> None:
    assert refusals(key, value) == [f'{key}: found "{value}", did you mean {meant}?']


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        pytest.param(
            "eval_strategy",
            False,
            'found false: write "no" in quotes, since YAML reads the bare word as false',
            id="bare no",
        ),
        pytest.param(
            "eval_strategy", True, 'found true, expected one of "no", steps, epoch', id="bare on"
        ),
        pytest.param(
            "save_strategy",
            None,
            'found null, expected one of "no", steps, epoch, best: leave the key out for the '
            'default, "steps"',
            id="null",
        ),
        pytest.param(
            "dtype",
            "None",
            'found "None", a string, expected one of auto, bfloat16, float16, float32: write null, '
            "YAML's word for none",
            id="null word",
        ),
        pytest.param(
            "packing_strategy",
            "",
            'found "", a string, expected one of bfd, bfd_split, wrapped: leave the key out',
            id="nothing",
        ),
        pytest.param(
            "dtype",
            16,
            "found 16, expected one of auto, bfloat16, float16, float32",
            id="number",
        ),
        pytest.param(
            "fsdp",
            "true",
            'found "true", a string: write true, without quotes',
            id="true in quotes",
        ),
        pytest.param(
            "fsdp",
            "None",
            'found "None", a string: write null, YAML\'s word for none',
            id="null word among words",
        ),
        pytest.param(
            "debug",
            "underflow_overflow tpu_metrics_debug",
            'found "underflow_overflow tpu_metrics_debug", did you mean ["underflow_overflow", '
            '"tpu_metrics_debug"]?',
            id="several in one text",
        ),
        pytest.param(
            "debug", "", 'found "", a string: leave the key out', id="default that TRL cannot parse"
        ),
        pytest.param(
            "debug",
            "xyzzy",
            'found "xyzzy", expected underflow_overflow, tpu_metrics_debug, or a list of them',
            id="no word at all",
        ),
        pytest.param(
            "report_to",
            "wandb, tensorboard",
            'found "wandb, tensorboard", expected a list: ["wandb", "tensorboard"]',
            id="trackers in one text",
        ),
    ],
)
def test_a_value_that_is_not_a_name_is_refused_in_one_sentence(
    key: str, value: Any, sentence: str
) -> None:
    assert refusals(key, value) == [f"{key}: {sentence}"]


def test_each_invalid_tracker_of_a_list_is_named_with_its_index() -> None:
    assert refusals("report_to", ["wandb", "tensorbord", "none"]) == [
        'report_to[1]: found "tensorbord", did you mean tensorboard?',
        'report_to[2]: found "none" together with other values, expected it alone',
    ]


def test_a_long_list_of_choices_is_truncated() -> None:
    (sentence,) = refusals("optim", "xyzzy")

    assert sentence.startswith('optim: found "xyzzy", expected one of adamw_torch, ')
    assert sentence.endswith("lion_32bit and 25 others")


@pytest.mark.parametrize(
    ("key", "meant"),
    [(key, meant) for key, words in choice_habits().items() for meant in words.values()],
)
def test_every_hint_names_a_valid_value(key: str, meant: str) -> None:
    assert refusals(key, meant) == []


@pytest.mark.parametrize(
    ("key", "name"),
    [(key, name) for key, names in NAMES.items() for name in names.known]
    + [("report_to", tracker) for tracker in TRACKERS]
    + [
        (key, choice)
        for key, definition in load_schema().properties.items()
        for choice in definition.get("enum", ())
    ],
)
def test_every_supported_name_is_accepted(key: str, name: str | None) -> None:
    assert refusals(key, name) == []
