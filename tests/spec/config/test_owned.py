# SPDX-License-Identifier: Apache-2.0
"""Keys that a config must not set, and keys without an effect."""

from typing import Any

import pytest

from finetune_spec.config.suggest.owned import OPERATOR_OWNED
from support.key_verdicts import GOOD, NO_KEY, found, refusals, warnings

IN_PLAIN_SIGHT = (
    "jobs are readable by others: put it into the Secret that spec.output.credentialsSecretRef "
    "names"
)


@pytest.mark.parametrize(
    ("key", "value"),
    [("output_dir", "/out"), ("resume_from_checkpoint", True), ("enable_jit_checkpoint", True)],
)
def test_a_key_of_the_operator_is_refused(key: str, value: Any) -> None:
    assert refusals({key: value}) == [f"{key}: is set by the operator: {OPERATOR_OWNED[key]}"]


def test_a_key_that_resembles_the_operators_is_not_directed_to_it() -> None:
    assert refusals({"outputdir": "/out"}) == [
        f"outputdir: {NO_KEY}, and output_dir is set by the operator: set spec.output.uri instead"
    ]


def test_a_token_in_the_config_is_directed_to_the_secret() -> None:
    assert refusals({"hub_token": "hf_abc"}) == [f"hub_token: {IN_PLAIN_SIGHT}, as HF_TOKEN"]


@pytest.mark.parametrize(
    ("config", "path"),
    [
        pytest.param({"model_init_kwargs": {"token": "x1"}}, "model_init_kwargs.token", id="token"),
        pytest.param(
            {"model_init_kwargs": '{"token": "x1"}'}, "model_init_kwargs.token", id="JSON as text"
        ),
        pytest.param(
            {"model_init_kwargs": {"a": [{"b": [{"client_secret": "x1"}]}]}},
            "model_init_kwargs.a[0].b[0].client_secret",
            id="in lists",
        ),
        pytest.param(
            {"model_init_kwargs": {"storage_options": {"apiKey": "x1"}}},
            "model_init_kwargs.storage_options.apiKey",
            id="no underscore",
        ),
    ],
)
def test_a_nested_secret_is_refused_with_its_path(config: dict[str, Any], path: str) -> None:
    assert f"{path}: {IN_PLAIN_SIGHT}" in refusals(config)
    assert "x1" not in " ".join(refusals(config)), "no message shows a value"


@pytest.mark.parametrize(
    "below",
    [
        pytest.param({"token": True}, id="take it from the environment"),
        pytest.param({"token": ""}, id="none"),
        pytest.param({"eos_token": "</s>", "image_token": "<image>"}, id="of a vocabulary"),
        pytest.param({"max_tokens": "12", "tokenizer": "x"}, id="another word"),
    ],
)
def test_a_key_that_only_sounds_like_a_secret_is_accepted(below: dict[str, Any]) -> None:
    assert not any(IN_PLAIN_SIGHT in told for told in refusals({"model_init_kwargs": below}))


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"])
def test_variables_that_the_launcher_sets_are_refused(name: str) -> None:
    assert refusals({"env": {name: 1}}) == [
        f"env.{name}: is set by the operator: the launcher passes it to each process"
    ]


@pytest.mark.parametrize("name", ["HF_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY"])
def test_a_secret_in_env_gets_a_warning(name: str) -> None:
    assert warnings({"env": {name: "abc"}}) == [f"env.{name}: {IN_PLAIN_SIGHT}"]


def test_other_variables_are_accepted() -> None:
    assert found({**GOOD, "env": {"TOKENIZERS_PARALLELISM": "true", "NCCL_DEBUG": "INFO"}}) == []


@pytest.mark.parametrize(
    ("config", "key"),
    [
        pytest.param({"do_predict": True}, "do_predict", id="do_predict"),
        pytest.param({"do_eval": True}, "do_eval", id="do_eval without a strategy"),
        pytest.param({"disable_tqdm": False}, "disable_tqdm", id="disable_tqdm"),
        pytest.param({"local_rank": 0}, "local_rank", id="local_rank"),
        pytest.param({"save_only_model": True}, "save_only_model", id="save_only_model"),
        pytest.param({"ignore_data_skip": True}, "ignore_data_skip", id="ignore_data_skip"),
    ],
)
def test_a_setting_without_effect_only_gets_a_warning(config: dict[str, Any], key: str) -> None:
    (problem,) = found({**GOOD, **config})

    assert (problem.path, problem.is_warning) == (key, True)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"do_train": True}, id="it trains"),
        pytest.param({"do_eval": True, "eval_strategy": "steps"}, id="it evaluates"),
        pytest.param({"disable_tqdm": True}, id="no bars"),
    ],
)
def test_a_redundant_setting_is_accepted(config: dict[str, Any]) -> None:
    assert found({**GOOD, **config}) == []


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PYTHONSTARTUP", "PYTHONPATH", "GCONV_PATH"])
def test_the_configs_env_cannot_set_a_variable_that_loads_other_code(name: str) -> None:
    """The files of a dataset are in the work directory: a library among them would be loaded."""
    assert refusals({"env": {name: "/work/data/x"}}) == [
        f"env.{name}: determines which code is loaded: build an image that does not need it"
    ]
