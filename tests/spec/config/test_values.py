# SPDX-License-Identifier: Apache-2.0
"""Types of values: YAML's reading of a word, and the text to write instead."""

import math
from datetime import date
from typing import Any

import pytest

from finetune_spec.config import check_value
from finetune_spec.config.parse.schema import known_versions, load_schema
from spec.config.single_values import refusals

UNPARSED_DEFAULTS = {"debug"}
"""`debug: ""` is TRL's default, and its parser refuses it."""


@pytest.mark.parametrize("version", known_versions())
def test_every_trl_default_is_accepted(version: str) -> None:
    schema = load_schema(version)

    said = {
        key: check_value(key, key, definition["default"], schema)
        for key, definition in schema.properties.items()
        if "default" in definition and key not in UNPARSED_DEFAULTS
    }

    assert len(said) > 80
    assert {key: problems for key, problems in said.items() if problems} == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("learning_rate", 1, id="whole number for a number"),
        pytest.param("max_steps", 8.0, id="whole number that JSON made a float"),
        pytest.param("bf16", None, id="null where TRL takes it"),
        pytest.param("lora_target_modules", "all-linear", id="text for a list"),
        pytest.param("deepspeed", "/profiles/zero2.json", id="path for a mapping"),
        pytest.param("deepspeed", '{"zero_optimization": {"stage": 2}}', id="JSON for a mapping"),
        pytest.param("fsdp", True, id="fsdp in the form of transformers"),
        pytest.param("fsdp", ["full_shard", "auto_wrap"], id="fsdp as a list"),
        pytest.param("run_name", "2024", id="number in quotes for a string"),
        pytest.param("include_num_input_tokens_seen", True, id="truth value for a string"),
        pytest.param("pad_to_multiple_of", "8", id="number in quotes where TRL takes texts"),
    ],
)
def test_a_value_that_trl_trains_with_is_accepted(key: str, value: Any) -> None:
    assert refusals(key, value) == []


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("learning_rate", "1.0e-4", "a number: remove the quotes"),
        ("learning_rate", "0.1", "a number: remove the quotes"),
        ("learning_rate", "0,1", "a number: write 0.1"),
        ("warmup_steps", "10%", "a number: write 0.1"),
        ("num_train_epochs", "3", "a number: remove the quotes"),
        ("max_length", "2048", "a whole number: remove the quotes"),
        ("max_length", "2_048", "a whole number: write 2048"),
        ("max_length", "2,048", "a whole number: write 2048"),
        ("max_length", "2048.0", "a whole number: write 2048"),
        ("max_length", "1e3", "a whole number: write 1000"),
        ("max_length", "4k", "a whole number: write the number in full, such as 4096"),
        ("max_length", "2048 tokens", "a whole number: write the number alone, without a unit"),
        ("max_length", "none", "a whole number: write null, YAML's word for none"),
        ("max_steps", "None", "a whole number: leave the key out"),
        ("use_peft", "yes", "true or false: write true, without quotes"),
        ("use_peft", "True", "true or false: write true, without quotes"),
        ("use_peft", "off", "true or false: write false, without quotes"),
        ("bf16", "auto", "true or false: leave the key out for TRL's own choice"),
        ("bf16", "null", "true or false: write null, YAML's word for none"),
        ("label_names", "labels", 'a list: write ["labels"]'),
        ("label_names", "a, b", 'a list: write ["a", "b"]'),
        ("lora_modules_to_save", "lm_head embed", 'a list: write ["lm_head", "embed"]'),
        ("lora_modules_to_save", "['lm_head']", "a list: remove the quotes"),
        ("liger_kernel_config", "{rope: true}", "a mapping: remove the quotes"),
    ],
)
def test_a_text_in_place_of_another_type_gets_what_to_write(
    key: str, text: str, expected: str
) -> None:
    assert refusals(key, text) == [f'{key}: found "{text}", a string, expected {expected}']


@pytest.mark.parametrize(
    ("text", "plain"),
    [("1e-4", "1.0e-4"), ("1e4", "1.0e+4"), ("2.E-3", "2.0e-3"), ("-.5e1", "-0.5e+1")],
)
def test_a_number_that_pyyaml_reads_as_a_string_gets_a_portable_spelling(
    text: str, plain: str
) -> None:
    (sentence,) = refusals("learning_rate", text)

    assert sentence == (
        f'learning_rate: found "{text}", a string, expected a number: write {plain} without '
        f"quotes, since some YAML parsers read {text} as a string"
    )


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        pytest.param("learning_rate", "fast", 'found "fast", expected a number', id="a word"),
        pytest.param("max_length", "2.5", 'found "2.5", expected a whole number', id="fraction"),
        pytest.param("max_length", 2.5, "found 2.5, expected a whole number", id="bare fraction"),
        pytest.param("seed", True, "found true, expected a whole number", id="true for a number"),
        pytest.param(
            "use_peft",
            1,
            "found 1, a number, expected true or false: write true",
            id="1 for true",
        ),
        pytest.param("use_peft", 2, "found 2, expected true or false", id="2 for true"),
        pytest.param(
            "run_name",
            2024,
            "found 2024, a number, expected a string: put it in quotes",
            id="number for a string",
        ),
        pytest.param(
            "model_revision",
            1e10,
            "found 10000000000.0, a number, expected a string: put it in quotes",
            id="commit that looks like a number",
        ),
        pytest.param(
            "run_name",
            date(2024, 1, 2),
            'found "2024-01-02", a date, expected a string: put it in quotes',
            id="date for a string",
        ),
        pytest.param(
            "run_name",
            True,
            "found true, expected a string: put the word in quotes, since YAML reads yes, on and "
            "true alike",
            id="on for a string",
        ),
        pytest.param(
            "model_revision",
            False,
            "found false, expected a string: put the word in quotes, since YAML reads no, off and "
            "false alike",
            id="off for a string",
        ),
        pytest.param(
            "max_steps",
            None,
            "found null, expected a whole number: leave the key out for the default, -1",
            id="null where there is none",
        ),
        pytest.param(
            "learning_rate",
            [1e-4],
            "found [0.0001], expected a number: write one value, without brackets or a dash",
            id="list of one",
        ),
        pytest.param(
            "seed", [1, 2], "found [1, 2], expected a whole number", id="list for one value"
        ),
        pytest.param(
            "max_length",
            {"train": 1},
            'found {"train": 1}, expected a whole number',
            id="mapping for one value",
        ),
        pytest.param(
            "deepspeed", 2, "found 2, expected a mapping or a string", id="stage for a profile"
        ),
        pytest.param(
            "gradient_checkpointing_kwargs",
            True,
            "found true, expected a mapping or a string",
            id="true for a mapping",
        ),
        pytest.param("report_to", None, 'found null: write "none" for no tracker', id="no tracker"),
        pytest.param("report_to", False, 'found false: write "none" for no tracker', id="bare no"),
        pytest.param(
            "hub_token", 1234, "found a number, expected a string: put it in quotes", id="a secret"
        ),
        pytest.param(
            "parallelism_config",
            {"tp_size": 2},
            "cannot be set in YAML: set FSDP or DeepSpeed instead, with fsdp or deepspeed",
            id="a Python object",
        ),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_in_one_sentence(
    key: str, value: Any, sentence: str
) -> None:
    assert refusals(key, value) == [f"{key}: {sentence}"]


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan], ids=str)
def test_a_number_that_json_cannot_represent_is_refused(number: float) -> None:
    (sentence,) = refusals("max_grad_norm", number)

    assert sentence.endswith(", expected a finite number: JSON has no other")


@pytest.mark.parametrize("number", [10**400, -(10**400)], ids=["above", "below"])
def test_a_number_that_no_float_can_represent_is_refused(number: int) -> None:
    (sentence,) = refusals("max_steps", number)

    assert sentence.endswith(", expected a number of at most 308 digits")


SCALARS = (None, True, False, 0, -1, 2.5, 10**400, math.nan, "", "None", " ", "1e-4", "(", "{")
LISTS = ([], [None], [[]], ["x"], [{}], [{"path": 1}], ["q_proj"])
OTHERS = ({}, {"x": None}, {1: 2}, {None: 1}, date(2024, 1, 1))


@pytest.mark.parametrize("value", [*SCALARS, *LISTS, *OTHERS], ids=lambda value: repr(value)[:20])
def test_no_value_of_any_key_breaks_the_check(value: Any) -> None:
    for key in load_schema().properties:
        refusals(key, value)
