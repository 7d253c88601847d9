# SPDX-License-Identifier: Apache-2.0
"""Older spellings work, with a warning; retired keys are dropped if the run is the same without
them.
"""

from collections.abc import Mapping
from typing import Any

import pytest

from finetune_spec.config.parse.spellings import OLDER, RETIRED, modernize
from support.config_verdicts import problems_of
from support.key_verdicts import SCHEMA, found, refusals, warnings
from support.older_config import OLDER_CONFIG

NAMED_IN_THE_DESIGN = {
    "torch_dtype": "dtype",
    "max_seq_length": "max_length",
    "dataset_id_or_path": "dataset_name",
    "train_split": "dataset_train_split",
    "validation_split": "dataset_test_split",
    "fine_tune_tag": "run_name",
    "upload_to_hf": "push_to_hub",
}


@pytest.mark.parametrize(("older", "newer"), NAMED_IN_THE_DESIGN.items())
def test_the_older_spellings_of_the_design_are_read_as_current_ones(older: str, newer: str) -> None:
    assert modernize({older: "a value"}) == ({newer: "a value"}, {newer: older})


@pytest.mark.parametrize("older", sorted(set(OLDER) - {"dataset_id_or_path"}))
def test_an_older_spelling_is_accepted_with_a_warning(older: str) -> None:
    assert refusals({older: None}) == []
    assert warnings({older: None}) == [f"{older}: an older spelling, read as {OLDER[older]}"]


def test_the_data_may_be_set_by_an_older_key() -> None:
    config = {"model_name_or_path": "m", "dataset_id_or_path": "d"}

    assert [str(problem) for problem in found(config)] == [
        "dataset_id_or_path: an older spelling, read as dataset_name"
    ]


def test_an_invalid_value_is_reported_by_the_key_the_user_wrote() -> None:
    config = {"model_name_or_path": "m", "dataset_name": "d", "max_seq_length": "long"}

    sentences = [str(problem) for problem in problems_of(config) if not problem.is_warning]

    assert len(sentences) == 1
    assert sentences[0].startswith('max_seq_length: found "long"')


def test_two_conflicting_spellings_are_an_error() -> None:
    assert refusals({"torch_dtype": "float16", "dtype": "bfloat16"}) == [
        "torch_dtype: an older spelling of dtype, which is set as well"
    ]


def test_two_equal_spellings_only_get_a_warning() -> None:
    config = {"upload_to_hf": False, "push_to_hub": False}

    assert refusals(config) == []
    assert warnings(config) == [
        "upload_to_hf: an older spelling of push_to_hub, which is set to the same value"
    ]
    assert modernize(config) == ({"push_to_hub": False}, {})


@pytest.mark.parametrize("ratio", [0, 0.0, 0.03, 0.999])
def test_a_warmup_ratio_below_one_becomes_warmup_steps(ratio: float) -> None:
    assert refusals({"warmup_ratio": ratio}) == []
    assert modernize({"warmup_ratio": ratio})[0] == {"warmup_steps": ratio}


@pytest.mark.parametrize("ratio", [1, 1.0, 3])
def test_a_warmup_ratio_of_one_or_more_is_refused(ratio: float) -> None:
    (sentence,) = refusals({"warmup_ratio": ratio})

    assert sentence == (
        f"warmup_ratio: found {ratio}, expected a number below 1: it is read as warmup_steps, "
        "which counts steps from 1 on"
    )


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        pytest.param(
            {"cache_dir": "/cache"},
            "cache_dir: has no effect: the cache is in the pod's own working directory",
            id="cache_dir",
        ),
        pytest.param(
            {"overwrite_output_dir": True},
            "overwrite_output_dir: has no effect: every run has its own directory",
            id="overwrite_output_dir",
        ),
        pytest.param(
            {"logging_dir": "./logs"},
            "logging_dir: has no effect: for TensorBoard write env: {TENSORBOARD_LOGGING_DIR: ...}",
            id="logging_dir",
        ),
        pytest.param(
            {"group_by_length": False},
            "group_by_length: no longer a key of TRL, and false is the default",
            id="an old default",
        ),
        pytest.param(
            {"save_safetensors": True},
            "save_safetensors: no longer a key of TRL, and true is the default",
            id="what is always so",
        ),
    ],
)
def test_a_retired_key_that_changes_nothing_is_dropped(
    config: Mapping[str, Any], sentence: str
) -> None:
    assert refusals(config) == []
    assert warnings(config) == [sentence]
    assert modernize(config) == ({}, {})


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        pytest.param(
            {"group_by_length": True},
            "group_by_length: no longer a key of TRL: write train_sampling_strategy: "
            "group_by_length",
            id="group_by_length",
        ),
        pytest.param(
            {"adafactor": True},
            "adafactor: no longer a key of TRL: write optim: adafactor",
            id="adafactor",
        ),
        pytest.param(
            {"save_safetensors": False},
            "save_safetensors: no longer a key of TRL: weights are always saved as safetensors",
            id="save_safetensors",
        ),
        pytest.param(
            {"include_inputs_for_metrics": True},
            "include_inputs_for_metrics: no longer a key of TRL: write include_for_metrics: "
            "[inputs]",
            id="include_inputs_for_metrics",
        ),
        pytest.param(
            {"half_precision_backend": "apex"},
            "half_precision_backend: no longer a key of TRL: precision is set by bf16 and fp16 "
            "alone",
            id="half_precision_backend",
        ),
    ],
)
def test_a_retired_key_that_had_an_effect_is_an_error(
    config: Mapping[str, Any], sentence: str
) -> None:
    assert refusals(config) == [sentence]


@pytest.mark.parametrize("key", sorted(RETIRED))
def test_a_retired_key_without_a_value_is_never_refused(key: str) -> None:
    assert refusals({key: None}) == []


def test_every_older_spelling_has_its_own_key() -> None:
    assert len(set(OLDER.values())) == len(OLDER)


def test_a_complete_older_config_is_accepted() -> None:
    problems = problems_of(OLDER_CONFIG)

    assert [str(problem) for problem in problems if not problem.is_warning] == []
    spellings = [problem.path for problem in problems if "an older spelling" in problem.message]
    assert sorted(spellings) == sorted(set(OLDER) & set(OLDER_CONFIG))
    assert set(modernize(OLDER_CONFIG)[0]) <= set(SCHEMA.properties)


@pytest.mark.parametrize("older", sorted(set(OLDER) & set(OLDER_CONFIG)))
def test_any_single_key_of_an_older_config_may_be_the_newer_one(older: str) -> None:
    config = {OLDER[older] if key == older else key: value for key, value in OLDER_CONFIG.items()}

    problems = problems_of(config)

    assert [str(problem) for problem in problems if not problem.is_warning] == []
    assert older not in [problem.path for problem in problems]
