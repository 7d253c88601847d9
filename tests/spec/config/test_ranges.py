# SPDX-License-Identifier: Apache-2.0
"""Numbers at and next to every boundary; each row was tested with TRL 1.16.0 and a tiny model."""

import pytest

from finetune_spec.config.check.ranges import ODDITIES, RANGES
from finetune_spec.config.parse.schema import load_schema
from spec.config.single_values import refusals, warnings

NO_RANGE = {
    "ddp_bucket_cap_mb": "torch takes every number",
    "local_rank": "torch's launcher sets it",
    "num_train_epochs": "0 and -1 are usual beside max_steps",
}
"""Numeric keys without a range or an oddity, and why."""

IN = [
    ("adam_beta1", 0),
    ("adam_beta1", 0.999999),
    ("adam_beta2", 0.0),
    ("adam_epsilon", 0),
    ("data_seed", -(2**63)),
    ("data_seed", 2**64 - 1),
    ("dataloader_num_workers", 0),
    ("dataloader_prefetch_factor", 1),
    ("dataset_num_proc", 0),
    ("ddp_timeout", 1),
    ("early_stopping_patience", 1),
    ("early_stopping_threshold", 0),
    ("eval_accumulation_steps", 1),
    ("eval_sample_max_tokens", 1),
    ("eval_sample_seconds", 0),
    ("eval_delay", 0),
    ("eval_delay", 2.5),
    ("eval_steps", 0),
    ("eval_steps", 0.999),
    ("eval_steps", 1),
    ("eval_steps", 2.0),
    ("gradient_accumulation_steps", 1),
    ("label_smoothing_factor", 0),
    ("label_smoothing_factor", 0.5),
    ("learning_rate", 0),
    ("learning_rate", 1),
    ("logging_steps", 0.3),
    ("logging_steps", 1),
    ("lora_alpha", 1),
    ("lora_dropout", 0),
    ("lora_dropout", 0.5),
    ("lora_r", 1),
    ("lora_r", 8.0),
    ("max_grad_norm", 0),
    ("max_length", 1),
    ("max_length", None),
    ("max_steps", -1),
    ("max_steps", -5),
    ("max_steps", 1),
    ("neftune_noise_alpha", 0),
    ("num_eval_samples", 0),
    ("num_layers_unfrozen", 1),
    ("num_train_epochs", -1),
    ("num_train_epochs", 0),
    ("num_train_epochs", 0.1),
    ("pad_to_multiple_of", 1),
    ("per_device_eval_batch_size", 1),
    ("per_device_train_batch_size", 1),
    ("router_aux_loss_coef", 0),
    ("max_rows_left_out", 0),
    ("max_rows_left_out", 1),
    ("save_minutes", 0.5),
    ("save_steps", 0.3),
    ("save_steps", 1),
    ("save_total_limit", 1),
    ("seed", 0),
    ("seed", 2**32 - 1),
    ("test_split_size", 0.25),
    ("test_split_size", 1),
    ("test_split_size", 200),
    ("torch_empty_cache_steps", 1),
    ("warmup_steps", 0),
    ("warmup_steps", 0.1),
    ("warmup_steps", 3.7),
    ("weight_decay", 0),
    ("weight_decay", 2),
]

OUT = [
    ("adam_beta1", -0.1),
    ("adam_beta1", 1),
    ("adam_beta2", 1.0),
    ("adam_epsilon", -1e-8),
    ("data_seed", -(2**63) - 1),
    ("data_seed", 2**64),
    ("dataloader_num_workers", -1),
    ("dataloader_prefetch_factor", 0),
    ("dataset_num_proc", -1),
    ("ddp_timeout", 0),
    ("early_stopping_patience", 0),
    ("early_stopping_threshold", -0.1),
    ("eval_accumulation_steps", 0),
    ("eval_sample_max_tokens", 0),
    ("eval_sample_seconds", -1),
    ("eval_steps", 1.5),
    ("gradient_accumulation_steps", -1),
    ("gradient_accumulation_steps", 0),
    ("learning_rate", -1e-4),
    ("logging_steps", 0),
    ("logging_steps", 2.5),
    ("lora_alpha", 0),
    ("lora_dropout", -0.1),
    ("lora_dropout", 1),
    ("lora_dropout", 1.1),
    ("lora_r", -1),
    ("lora_r", 0),
    ("max_length", -5),
    ("max_length", 0),
    ("neftune_noise_alpha", -1),
    ("num_eval_samples", -1),
    ("num_layers_unfrozen", 0),
    ("pad_to_multiple_of", 0),
    ("per_device_eval_batch_size", 0),
    ("per_device_train_batch_size", -1),
    ("per_device_train_batch_size", 0),
    ("max_rows_left_out", -0.1),
    ("max_rows_left_out", 1.5),
    ("save_minutes", 0),
    ("save_steps", 2.5),
    ("seed", -1),
    ("seed", 2**32),
    ("test_split_size", -1),
    ("test_split_size", 0),
    ("test_split_size", 1.5),
    ("torch_empty_cache_steps", 0),
    ("warmup_steps", -0.1),
    ("warmup_steps", -1),
    ("weight_decay", -0.1),
]

ODD = [
    ("eval_delay", -1),
    ("eval_steps", -1),
    ("label_smoothing_factor", -0.1),
    ("label_smoothing_factor", 1),
    ("max_grad_norm", -1),
    ("max_steps", 0),
    ("router_aux_loss_coef", -0.5),
    ("save_steps", 0),
    ("save_steps", -1),
    ("save_total_limit", 0),
    ("save_total_limit", -1),
]


@pytest.mark.parametrize(("key", "number"), IN)
def test_a_number_inside_its_range_is_accepted_without_a_warning(
    key: str, number: float | None
) -> None:
    assert (refusals(key, number), warnings(key, number)) == ([], [])


@pytest.mark.parametrize(("key", "number"), OUT)
def test_a_number_outside_its_range_is_refused_with_the_expected_range(
    key: str, number: float
) -> None:
    (sentence,) = refusals(key, number)

    assert sentence == f"{key}: found {number}, expected {RANGES[key].words}"


@pytest.mark.parametrize(("key", "number"), ODD)
def test_a_number_with_an_unexpected_effect_gets_a_warning(key: str, number: float) -> None:
    (sentence,) = warnings(key, number)

    assert sentence.startswith(f"{key}: found {number}, which ")
    assert refusals(key, number) == []


@pytest.mark.parametrize(("key", "number"), OUT)
def test_a_number_outside_its_range_is_refused_once(key: str, number: float) -> None:
    assert warnings(key, number) == []


def test_every_numeric_key_has_a_range_or_a_reason_for_none() -> None:
    properties = load_schema().properties
    numbers = {
        key
        for key, definition in properties.items()
        if {"integer", "number"} & set(definition.get("type", ()))
    }

    known = {*RANGES, *(oddity.key for oddity in ODDITIES)}

    assert numbers - known == set(NO_RANGE)
    assert known <= numbers


def test_every_range_and_oddity_has_test_rows() -> None:
    assert {key for key, _ in OUT} == set(RANGES)
    assert set(RANGES) <= {key for key, _ in IN}
    assert {key for key, _ in ODD} == {oddity.key for oddity in ODDITIES}
