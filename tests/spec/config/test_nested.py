# SPDX-License-Identifier: Apache-2.0
"""The contents of `env`, `datasets`, lists and mappings, named by their complete path."""

from typing import Any

import pytest

from spec.config.single_values import refusals, warnings

DATA = {"path": "org/name"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("accelerator_config", {"split_batches": True}),
        ("dataset_kwargs", {"skip_prepare_dataset": True}),
        ("datasets", []),
        ("datasets", [DATA | {"columns": "messages"}]),
        ("datasets", [DATA | {"data_files": {"train": "a.jsonl"}}]),
        ("datasets", [DATA | {"data_files": ["a.jsonl", "b.jsonl"]}]),
        ("datasets", [DATA | {"fraction": 0}, DATA | {"fraction": 2}]),
        ("datasets", [DATA | {"name": None, "data_dir": None, "columns": ["messages"]}]),
        ("env", {"A": "text", "B": 1, "C": 1.5, "D": True, "_e-f.g": ""}),
        ("env", {}),
        ("fsdp_config", {"fsdp_version": 1, "reshard_after_forward": True}),
        ("gradient_checkpointing_kwargs", {"anything": 1}),
    ],
)
def test_a_value_that_trl_accepts_passes_without_a_warning(key: str, value: Any) -> None:
    assert (refusals(key, value), warnings(key, value)) == ([], [])


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        pytest.param(
            "org/name",
            'datasets: found "org/name", expected a list: write [{"path": "org/name"}]',
            id="a name",
        ),
        pytest.param(
            DATA,
            'datasets: found {"path": "org/name"}, expected a list: begin the entry with a dash',
            id="an entry without a dash",
        ),
        pytest.param(None, "datasets: found null, expected a list: leave the key out", id="null"),
        pytest.param(
            ["org/name"],
            'datasets[0]: found "org/name", expected a mapping: write {"path": "org/name"}',
            id="a name in a list",
        ),
        pytest.param(
            [DATA, None], "datasets[1]: found null, expected a mapping", id="null in a list"
        ),
        pytest.param(
            [{"name": "default"}],
            "datasets[0].path: missing: a hub name, a path or an s3:// URI",
            id="no path",
        ),
        pytest.param(
            [{"dataset_name": "org/name"}],
            "datasets[0].dataset_name: not a field of an entry of datasets, did you mean path?",
            id="path by another name",
        ),
        pytest.param(
            [DATA | {"weight": 0.5}],
            "datasets[0].weight: not a field of an entry of datasets, did you mean fraction?",
            id="another tool's word",
        ),
        pytest.param(
            [DATA | {"spilt": "train"}],
            "datasets[0].spilt: not a field of an entry of datasets, did you mean split?",
            id="typo",
        ),
        pytest.param(
            [DATA | {"xyzzy": 1}],
            "datasets[0].xyzzy: not a field of an entry of datasets, expected one of path, name, "
            "data_dir, data_files, split, columns, fraction",
            id="nothing comes near",
        ),
        pytest.param(
            [DATA, DATA | {"fraction": "0.5"}],
            'datasets[1].fraction: found "0.5", a string, expected a number: remove the quotes',
            id="fraction in quotes",
        ),
        pytest.param(
            [DATA | {"fraction": -1}],
            "datasets[0].fraction: found -1, expected 0 or more",
            id="negative fraction",
        ),
        pytest.param(
            [DATA | {"split": None}],
            "datasets[0].split: found null, expected a string: leave the key out for the default, "
            '"train"',
            id="no split",
        ),
        pytest.param(
            [DATA | {"name": 2024}],
            "datasets[0].name: found 2024, a number, expected a string: put it in quotes",
            id="number for a name",
        ),
        pytest.param(
            [DATA | {"columns": ["a", 1]}],
            "datasets[0].columns[1]: found 1, a number, expected a string: put it in quotes",
            id="number among columns",
        ),
        pytest.param(
            [{"path": "s4://a/b"}],
            'datasets[0].path: found "s4://a/b", whose scheme is not supported, expected one of '
            "s3, gs, az, hf, file",
            id="path of no scheme",
        ),
    ],
)
def test_an_error_in_datasets_is_named_with_its_path(value: Any, sentence: str) -> None:
    assert refusals("datasets", value) == [sentence]


def test_every_error_of_every_entry_is_named() -> None:
    value = [{"path": 1, "spilt": "train"}, {"split": "train["}]

    assert [sentence.split(": ")[0] for sentence in refusals("datasets", value)] == [
        "datasets[0].path",
        "datasets[0].spilt",
        "datasets[1].split",
        "datasets[1].path",
    ]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        pytest.param(
            ["TOKEN=secret"],
            'env: found a list, expected a mapping of names to values, such as {"HF_HOME": '
            '"/cache"}',
            id="list",
        ),
        pytest.param(
            None,
            'env: found null, expected a mapping of names to values, such as {"HF_HOME": "/cache"}',
            id="null",
        ),
        pytest.param(
            {"A=B": "secret"},
            'env: found the name "A=B", expected one without =',
            id="sign in a name",
        ),
        pytest.param(
            {True: "secret"},
            "env.True: expected a string as a name: put it in quotes",
            id="on for a name",
        ),
        pytest.param(
            {"A": "sec\0ret"},
            "env.A: contains a null byte, which environment variables cannot",
            id="null byte",
        ),
    ],
)
def test_an_error_in_env_is_named_without_its_value(value: Any, sentence: str) -> None:
    assert refusals("env", value) == [sentence]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        pytest.param(
            {"A": None}, 'env.A: null becomes the string "None": leave the variable out', id="null"
        ),
        pytest.param(
            {"A": ["secret"]},
            "env.A: is converted to a string as Python prints it: write the intended string",
            id="list",
        ),
    ],
)
def test_a_variable_with_an_unexpected_text_form_gets_a_warning(value: Any, sentence: str) -> None:
    assert warnings("env", value) == [sentence]


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        (
            "label_names",
            ["labels", 1],
            "label_names[1]: found 1, a number, expected a string: put it in quotes",
        ),
        ("lora_target_modules", [["q_proj"]], 'lora_target_modules[0]: found ["q_proj"], expected'),
        ("lora_modules_to_save", [None], "lora_modules_to_save[0]: found null, expected a string"),
        ("report_to", [True], "report_to[0]: found true, expected a string"),
    ],
)
def test_an_item_with_a_wrong_type_is_named_with_its_path(
    key: str, value: Any, sentence: str
) -> None:
    (found,) = refusals(key, value)

    assert found.startswith(sentence)


def test_an_option_that_accelerate_refuses_gets_the_nearest_option() -> None:
    (sentence,) = refusals("accelerator_config", {"split_batchs": True})

    assert sentence == (
        "accelerator_config.split_batchs: not an option of accelerator_config, did you mean "
        "split_batches?"
    )


@pytest.mark.parametrize(
    ("key", "option", "hint"),
    [
        ("fsdp_config", "cpu_ofload", "did you mean cpu_offload?"),
        ("dataset_kwargs", "add_special_tokens", "expected skip_prepare_dataset"),
    ],
)
def test_an_ignored_option_gets_a_warning(key: str, option: str, hint: str) -> None:
    assert warnings(key, {option: True}) == [
        f"{key}.{option}: not an option of {key}, which is ignored, {hint}"
    ]
