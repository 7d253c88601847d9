# SPDX-License-Identifier: Apache-2.0
"""Keys in sections get the top-level key of TRL as the suggestion."""

from typing import Any

import pytest

from support.key_verdicts import NO_KEY, found, refusals

OUTSIDE = "write it outside of config, as"
NO_BIASES = "leave it out: TRL's LoRA trains no biases"


@pytest.mark.parametrize(
    ("section", "sentences"),
    [
        pytest.param(
            {"training_args": {"learning_rate": 1e-4}},
            ["training_args.learning_rate: nested, write learning_rate at the top level"],
            id="training_args",
        ),
        pytest.param(
            {"lora": {"r": 8, "alpha": 16, "dropout": 0.1, "target_modules": ["q_proj"]}},
            [
                "lora.r: nested, write lora_r at the top level",
                "lora.alpha: nested, write lora_alpha at the top level",
                "lora.dropout: nested, write lora_dropout at the top level",
                "lora.target_modules: nested, write lora_target_modules at the top level",
            ],
            id="lora",
        ),
        pytest.param(
            {"peft_config": {"r": 8, "task_type": "CAUSAL_LM", "bias": "none"}},
            [
                "peft_config.r: nested, write lora_r at the top level",
                "peft_config.task_type: nested, write lora_task_type at the top level",
                f"peft_config.bias: nested, and {NO_KEY}, {NO_BIASES}",
            ],
            id="peft_config",
        ),
        pytest.param(
            {"sft": {"max_seq_length": 512}},
            ["sft.max_seq_length: nested, write max_length at the top level"],
            id="an older spelling in a section",
        ),
        pytest.param(
            {"config": {"lr": 1e-4}},
            ["config.lr: nested, write learning_rate at the top level"],
            id="config in config",
        ),
        pytest.param(
            {"trainer": {"max_epochs": 3, "learnin_rate": 1}},
            [
                "trainer.max_epochs: nested, write num_train_epochs at the top level",
                f"trainer.learnin_rate: nested, and {NO_KEY}, did you mean learning_rate?",
            ],
            id="trainer",
        ),
        pytest.param(
            {"spec": {"config": {"seed": 1}, "resources": {"nodes": 2}}},
            [
                "spec.config.seed: nested, write seed at the top level",
                f"spec.resources: nested, and {NO_KEY}, {OUTSIDE} spec.resources",
            ],
            id="a whole spec",
        ),
        pytest.param(
            {"optimizer": {"type": "adamw_torch", "lr": 1e-4, "weight_decay": 0.1}},
            [
                "optimizer.type: nested, write optim at the top level",
                "optimizer.lr: nested, write learning_rate at the top level",
                "optimizer.weight_decay: nested, write weight_decay at the top level",
            ],
            id="optimizer",
        ),
        pytest.param(
            {"scheduler": {"name": "cosine", "warmup_ratio": 0.1}},
            [
                "scheduler.name: nested, write lr_scheduler_type at the top level",
                "scheduler.warmup_ratio: nested, write warmup_steps at the top level",
            ],
            id="scheduler",
        ),
        pytest.param(
            {"eval": {"strategy": "steps", "steps": 10}, "save": {"total_limit": 2}},
            [
                "eval.strategy: nested, write eval_strategy at the top level",
                "eval.steps: nested, write eval_steps at the top level",
                "save.total_limit: nested, write save_total_limit at the top level",
            ],
            id="sections that are prefixes",
        ),
        pytest.param(
            {"bnb": {"load_in_4bit": True, "quant_type": "nf4"}},
            [
                "bnb.load_in_4bit: nested, write load_in_4bit at the top level",
                "bnb.quant_type: nested, write bnb_4bit_quant_type at the top level",
            ],
            id="bnb",
        ),
        pytest.param(
            {"special_tokens": {"pad_token": "<pad>"}},
            ["special_tokens.pad_token: nested, write pad_token at the top level"],
            id="special_tokens",
        ),
        pytest.param(
            {"lora.r": 8},
            ["lora.r: nested, write lora_r at the top level"],
            id="a path as a key",
        ),
        pytest.param({"foo": {"bar": 1}}, [f"foo: {NO_KEY}"], id="a section of nothing known"),
    ],
)
def test_nested_keys_are_directed_to_the_top_level(
    section: dict[str, Any], sentences: list[str]
) -> None:
    assert refusals(section) == sentences


def test_a_key_of_the_operator_is_not_directed_to_the_top_level() -> None:
    (sentence,) = refusals({"args": {"output_dir": "/out"}})

    assert sentence == (
        "args.output_dir: nested, and output_dir is set by the operator: set spec.output.uri "
        "instead"
    )


def test_a_nested_model_is_not_also_reported_missing() -> None:
    config = {"model": {"name_or_path": "some/model"}, "data": {"path": "s3://data/set"}}

    assert [str(problem) for problem in found(config)] == [
        "model.name_or_path: nested, write model_name_or_path at the top level",
        "data.path: nested, write dataset_name at the top level",
    ]


def test_a_model_under_another_tools_key_is_not_also_reported_missing() -> None:
    config = {"base_model": "some/model", "dataset": "s3://data/set"}

    assert [str(problem) for problem in found(config)] == [
        f"base_model: {NO_KEY}, write model_name_or_path",
        f"dataset: {NO_KEY}, write dataset_name",
    ]


def test_mappings_that_trl_accepts_are_not_treated_as_sections() -> None:
    assert (
        refusals(
            {
                "fsdp_config": {"transformer_layer_cls_to_wrap": ["Block"]},
                "deepspeed": {"gradient_clipping": 1.0},
                "model_init_kwargs": {"revision": "main"},
                "env": {"SEED": "1"},
            }
        )
        == []
    )
