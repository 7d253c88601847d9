# SPDX-License-Identifier: Apache-2.0
"""Keys of other tools: the suggestion, which only names keys of TRL."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from finetune_spec.config.parse.spellings import OLDER, RETIRED
from finetune_spec.config.suggest import tables
from finetune_spec.config.suggest.other_tools import answer_for
from finetune_spec.config.suggest.owned import OPERATOR_OWNED
from support.key_verdicts import GOOD, NO_KEY, SCHEMA, found, refusals


@pytest.mark.parametrize(
    ("written", "value", "advice"),
    [
        pytest.param(key, value, advice, id=f"{key}={value}")
        for key, value, advice in (
            ("cutoff_len", 2048, "write max_length"),
            ("finetuning_type", "lora", "write use_peft: true"),
            (
                "finetuning_type",
                "full",
                "leave it out: full tuning is what happens without use_peft",
            ),
            ("finetuning_type", "oft", "write use_peft: true for LoRA, nothing for full tuning"),
            ("lora_rank", 8, "write lora_r"),
            ("lora_target", "all", "write lora_target_modules: all-linear"),
            (
                "lora_target",
                "q_proj,v_proj",
                "write lora_target_modules: all-linear, or a list of modules",
            ),
            ("stage", "sft", "leave it out: a FineTuneJob is supervised fine-tuning"),
            ("quantization_bit", 4, "write load_in_4bit: true"),
            ("quantization_bit", 8, "write load_in_8bit: true"),
            ("preprocessing_num_workers", 16, "write dataset_num_proc"),
            ("flash_attn", "fa2", "write attn_implementation: flash_attention_2"),
            ("plot_loss", True, "leave it out: every run's report has the loss curve"),
            ("base_model", "m", "write model_name_or_path"),
            ("sequence_len", 2048, "write max_length"),
            ("micro_batch_size", 2, "write per_device_train_batch_size"),
            ("num_epochs", 3, "write num_train_epochs"),
            ("adapter", "qlora", "write use_peft: true and load_in_4bit: true"),
            ("lora_target_linear", True, "write lora_target_modules: all-linear"),
            ("sample_packing", True, "write packing"),
            ("optimizer", "adamw_torch", "write optim"),
            ("lr_scheduler", "cosine", "write lr_scheduler_type"),
            ("flash_attention", True, "write attn_implementation: flash_attention_2"),
            ("use_flash_attention_2", True, "write attn_implementation: flash_attention_2"),
            ("wandb_project", "p", "write env: {WANDB_PROJECT: ...}"),
            ("use_wandb", True, "write report_to: wandb"),
            ("random_state", 3407, "write seed"),
            ("epochs", 3, "write num_train_epochs"),
            ("batch_size", 3, "write per_device_train_batch_size"),
            ("lr", 1e-4, "write learning_rate"),
            ("use_lora", True, "write use_peft"),
            ("system_prompt", "Be brief.", "write system_message"),
            ("optimiser", "adamw_torch", "write optim"),
            ("precision", "bf16", "write bf16: true"),
            ("no_gradient_checkpointing", True, "write gradient_checkpointing: false"),
            ("disable_gradient_checkpointing", True, "write gradient_checkpointing: false"),
            ("save_dir", "/out", "set spec.output.uri instead"),
            (
                "hf_token",
                "hf_abc",
                "put it into the Secret that spec.output.credentialsSecretRef names, as HF_TOKEN",
            ),
        )
    ],
)
def test_another_tools_key_gets_what_to_write_instead(
    written: str, value: Any, advice: str
) -> None:
    assert refusals({written: value}) == [f"{written}: {NO_KEY}, {advice}"]


def test_a_secret_is_never_repeated() -> None:
    secrets = {"hf_token": "hf_abc", "hub_token": "hf_abc", "env": {"A_TOKEN": "hf_abc"}}

    problems = found({**GOOD, **secrets})

    assert len(problems) == 3
    assert not any("hf_abc" in str(problem) for problem in problems)


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(tables.other_names(), id="other names"),
        pytest.param(tables.other_tools(), id="other tools"),
        pytest.param(OLDER, id="older spellings"),
        pytest.param(RETIRED, id="retired keys"),
        pytest.param(tables.places(), id="places in a job"),
    ],
)
def test_no_trl_key_is_mistaken_for_another_tools(table: Mapping[str, Any]) -> None:
    assert not set(table) & set(SCHEMA.properties)


def test_every_foreign_key_has_one_answer() -> None:
    keys = [*tables.other_names(), *tables.other_tools(), *OLDER, *RETIRED, *tables.places()]

    assert sorted({key for key in keys if keys.count(key) > 1}) == []


def test_every_alias_leads_to_a_trl_key() -> None:
    sections = [key for section in tables.sections().values() for key in section.values()]

    assert {*tables.other_names().values(), *OLDER.values(), *sections, *OPERATOR_OWNED} <= set(
        SCHEMA.properties
    )


_VALUES = {
    *("flash_attention_2", "flex_attention", "galore_adamw", "apollo_adamw", "comet_ml"),
    *("cosine_with_min_lr", "min_lr", "min_lr_rate", "group_by_length", "use_reentrant"),
    *(
        "zero_optimization",
        "min_num_params",
        "transformer_layer_cls_to_wrap",
        "split_batches",
        "dispatch_batches",
    ),
}
"""Words with an underscore in a suggestion that are values, or nested keys."""


def answers() -> Iterator[str]:
    yield from tables.other_tools().values()
    yield from (retired.instead for retired in RETIRED.values())
    for key in tables.other_tools():
        values = tables.answers_by_value().get(key, {})
        yield from (str(answer_for(key, value)) for value in (True, False, *values))


def test_answers_name_only_keys_of_trl() -> None:
    words = {
        word for answer in answers() for word in re.findall(r"\b[a-z]+(?:_[a-z0-9]+)+", answer)
    }

    assert words - set(SCHEMA.properties) - _VALUES == set()


def test_answers_give_only_values_that_trl_accepts() -> None:
    given = {pair for answer in answers() for pair in re.findall(r"(\w+): ([\w-]+)", answer)}
    wrong = [
        (key, value)
        for key, value in given
        if "enum" in (schema := SCHEMA.properties.get(key, {})) and value not in schema["enum"]
    ]

    assert wrong == []
