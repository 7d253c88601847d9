# SPDX-License-Identifier: Apache-2.0
"""Values that must agree: data and its length, trackers, the hub."""

from collections.abc import Collection, Mapping
from typing import Any

import pytest

from support.config_verdicts import refusals

MIXTURE = {"dataset_name": None, "datasets": [{"path": "s3://data/a"}, {"path": "s3://data/b"}]}
A_PART = {"path": "s3://data/a", "fraction": 0.5}
EVALUATES = {"eval_strategy": "epoch"}


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        pytest.param(
            {"packing": True, "max_length": None},
            "packing: found true together with max_length: null, expected the length of a pack "
            "there, e.g. 2048",
            id="packs of no length",
        ),
        pytest.param(
            {"eval_packing": True, "max_length": None, **EVALUATES},
            "eval_packing: found true together with max_length: null, expected the length of a "
            "pack there, e.g. 2048",
            id="packs of no length to evaluate",
        ),
        pytest.param(
            {"padding_free": True},
            "padding_free: found true together with max_length: 1024, which it cannot enforce: "
            "set packing to true, or max_length to null",
            id="padding-free rows that are too long",
        ),
        pytest.param(
            {"packing": True, "dataset_kwargs": {"skip_prepare_dataset": True}},
            "packing: found true together with dataset_kwargs.skip_prepare_dataset: true, which "
            "leaves the data unchanged: remove one of them",
            id="packing that is skipped",
        ),
        pytest.param(
            {"assistant_only_loss": True, "dataset_kwargs": {"skip_prepare_dataset": True}},
            "assistant_only_loss: found true together with dataset_kwargs.skip_prepare_dataset: "
            "true, which leaves the data unchanged: remove one of them",
            id="a mask that is skipped",
        ),
        pytest.param(
            {"dataset_streaming": True, "num_train_epochs": 1},
            "dataset_streaming: found true without max_steps: the length of a stream is unknown, "
            "so set how many steps to train",
            id="a stream without end",
        ),
        pytest.param(
            {**MIXTURE, "streaming": True},
            "streaming: found true without max_steps: the length of a stream is unknown, so set "
            "how many steps to train",
            id="a mixture without end",
        ),
        pytest.param(
            {"dataset_streaming": True, "max_steps": 10, "test_split_size": 0.1},
            "dataset_streaming: found true together with test_split_size, but a stream cannot be "
            "split",
            id="a part of a single stream",
        ),
        pytest.param(
            {**MIXTURE, "streaming": True, "max_steps": 10, "test_split_size": 0.1, **EVALUATES},
            "streaming: found true together with test_split_size, but a stream cannot be split",
            id="a stream to split",
        ),
        pytest.param(
            {**MIXTURE, "datasets": [A_PART], "streaming": True, "max_steps": 10},
            "streaming: found true together with a fraction in datasets: remove one of them",
            id="a fraction of a stream",
        ),
        pytest.param(
            {**MIXTURE, "datasets": [A_PART, {"path": "s3://data/b"}]},
            "datasets[1]: found no fraction, but other entries of datasets have one: set it for "
            "all, or none",
            id="one fraction of two",
        ),
        pytest.param(
            {**MIXTURE, **EVALUATES},
            'eval_strategy: found "epoch" without data to evaluate on: set test_split_size, e.g. '
            "to 0.05, since a mixture has only the split train",
            id="a mixture with nothing to evaluate on",
        ),
        pytest.param(
            {**MIXTURE, **EVALUATES, "test_split_size": 0.1, "dataset_test_split": "validation"},
            'dataset_test_split: found "validation", expected test: test_split_size creates that '
            "split",
            id="a split that is called test",
        ),
        pytest.param(
            {**MIXTURE, "dataset_train_split": "train_sft"},
            'dataset_train_split: found "train_sft", expected train: the splits of a mixture are '
            "set in each entry of datasets",
            id="a split of a mixture",
        ),
        pytest.param(
            {"dataloader_prefetch_factor": 2},
            "dataloader_prefetch_factor: found 2 without workers: set dataloader_num_workers, "
            "e.g. to 4",
            id="prefetching without workers",
        ),
        pytest.param(
            {"dataloader_persistent_workers": True},
            "dataloader_persistent_workers: found true without workers: set "
            "dataloader_num_workers, e.g. to 4",
            id="persistent workers without workers",
        ),
        pytest.param(
            {"dataloader_multiprocessing_context": "fork"},
            'dataloader_multiprocessing_context: found "fork" without workers: set '
            "dataloader_num_workers, e.g. to 4",
            id="a fork without workers",
        ),
    ],
)
def test_unreadable_data_settings_are_refused(config: dict[str, Any], sentence: str) -> None:
    assert refusals(config) == [sentence]


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"packing": True, "max_length": 2048}, id="packing"),
        pytest.param({"packing": True, "assistant_only_loss": True}, id="packing with a mask"),
        pytest.param({"packing": True, "completion_only_loss": True}, id="packing completions"),
        pytest.param({"packing": True, "eval_packing": False, **EVALUATES}, id="training packed"),
        pytest.param(
            {"eval_packing": True, "max_length": None}, id="evaluation packing without evaluation"
        ),
        pytest.param({"max_length": None}, id="any length"),
        pytest.param({"padding_free": True, "max_length": None}, id="padding-free"),
        pytest.param({"padding_free": True, "packing": True}, id="padding-free and packed"),
        pytest.param({"dataset_kwargs": {"skip_prepare_dataset": True}}, id="prepared data"),
        pytest.param({"dataset_streaming": True, "max_steps": 10}, id="some steps of a stream"),
        pytest.param({**MIXTURE, "streaming": True, "max_steps": 10}, id="steps of a mixture"),
        pytest.param({**MIXTURE, "datasets": [A_PART, A_PART]}, id="fractions"),
        pytest.param({**MIXTURE, **EVALUATES, "test_split_size": 0.1}, id="a mixture split"),
        pytest.param(
            {**MIXTURE, **EVALUATES, "dataset_test_split": "train"},
            id="evaluated on the training split",
        ),
        pytest.param({"dataset_train_split": "train_sft", **EVALUATES}, id="splits of one set"),
        pytest.param(
            {"dataloader_num_workers": 4, "dataloader_prefetch_factor": 2}, id="four prefetch"
        ),
    ],
)
def test_readable_data_settings_are_accepted(config: dict[str, Any]) -> None:
    assert refusals(config) == []


@pytest.mark.parametrize(
    ("model", "longest"),
    [
        pytest.param({"max_position_embeddings": 2048}, 2048, id="a context"),
        pytest.param({"n_positions": 1024}, 1024, id="GPT-2's name for it"),
        pytest.param({"text_config": {"max_position_embeddings": 8192}}, 8192, id="of the text"),
        pytest.param(
            {
                "max_position_embeddings": 32768,
                "rope_scaling": {
                    "rope_type": "yarn",
                    "factor": 4.0,
                    "original_max_position_embeddings": 32768,
                },
            },
            131072,
            id="stretched, and said before",
        ),
        pytest.param(
            {
                "max_position_embeddings": 131072,
                "rope_scaling": {
                    "rope_type": "llama3",
                    "factor": 8.0,
                    "original_max_position_embeddings": 8192,
                },
            },
            131072,
            id="stretched, and said after",
        ),
        pytest.param(
            {"max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 2}},
            8192,
            id="stretched in the older way",
        ),
        pytest.param(
            {"max_position_embeddings": 4096, "rope_parameters": {"rope_type": "default"}},
            4096,
            id="not stretched",
        ),
    ],
)
def test_rows_may_be_as_long_as_the_models_context(model: dict[str, Any], longest: int) -> None:
    sentence = (
        f"max_length: found {longest + 1}, expected at most {longest}, the context of the model"
    )

    assert refusals({"max_length": longest}, model=model) == []
    assert refusals({"max_length": longest + 1}, model=model) == [sentence]


@pytest.mark.parametrize(
    ("config", "model"),
    [
        pytest.param({"max_length": 10**6}, None, id="an unknown model"),
        pytest.param({"max_length": 10**6}, {"model_type": "mamba"}, id="a model without limit"),
        pytest.param({"max_length": None}, {"max_position_embeddings": 2048}, id="no length"),
        pytest.param(
            {"max_length": 4096, "model_init_kwargs": {"rope_scaling": {"factor": 2}}},
            {"max_position_embeddings": 2048},
            id="stretched by the user",
        ),
    ],
)
def test_any_length_is_accepted_if_no_limit_is_known(
    config: dict[str, Any], model: Mapping[str, Any] | None
) -> None:
    assert refusals(config, model=model) == []


SECRET = "into the Secret of spec.output.credentialsSecretRef"
WANDB = (
    f'report_to: found "wandb" without WANDB_API_KEY: put it {SECRET}, or set env.WANDB_MODE to '
    '"offline"'
)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        pytest.param({"report_to": "wandb"}, WANDB, id="wandb"),
        pytest.param({"report_to": ["tensorboard", "wandb"]}, WANDB, id="wandb among others"),
        pytest.param(
            {"report_to": "wandb", "env": {"WANDB_MODE": "online"}}, WANDB, id="wandb online"
        ),
        pytest.param(
            {"report_to": "comet_ml"},
            f'report_to: found "comet_ml" without COMET_API_KEY: put it {SECRET}, or set '
            'env.COMET_START_ONLINE to "0"',
            id="comet",
        ),
        pytest.param(
            {"report_to": "neptune"},
            'report_to: found "neptune" without NEPTUNE_API_TOKEN and NEPTUNE_PROJECT: put them '
            f'{SECRET}, or set env.NEPTUNE_MODE to "offline"',
            id="neptune",
        ),
        pytest.param(
            {"report_to": "neptune", "env": {"NEPTUNE_PROJECT": "team/project"}},
            f'report_to: found "neptune" without NEPTUNE_API_TOKEN: put it {SECRET}, or set '
            'env.NEPTUNE_MODE to "offline"',
            id="half of neptune",
        ),
        pytest.param(
            {"report_to": "swanlab"},
            f'report_to: found "swanlab" without SWANLAB_API_KEY: put it {SECRET}, or set '
            'env.SWANLAB_MODE to "offline"',
            id="swanlab",
        ),
        pytest.param(
            {"report_to": "dagshub"},
            f'report_to: found "dagshub" without MLFLOW_TRACKING_URI: put it {SECRET}',
            id="dagshub",
        ),
        pytest.param(
            {"report_to": "all"},
            f'report_to: found "all", and so "wandb", without WANDB_API_KEY: put it {SECRET}, or '
            'set env.WANDB_MODE to "offline"',
            id="all",
        ),
        pytest.param(
            {"push_to_hub": True},
            f"push_to_hub: found true without HF_TOKEN: put it {SECRET}",
            id="the hub",
        ),
    ],
)
def test_a_service_without_its_secret_is_refused(config: dict[str, Any], sentence: str) -> None:
    assert refusals(config, environment=frozenset()) == [sentence]


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"report_to": "none"}, id="no tracker"),
        pytest.param({"report_to": ["tensorboard", "mlflow", "trackio"]}, id="no secret"),
        pytest.param({"report_to": "wandb", "env": {"WANDB_API_KEY": "x"}}, id="in env"),
        pytest.param({"report_to": "all", "env": {"WANDB_MODE": "offline"}}, id="all, offline"),
        pytest.param({"report_to": "wandb", "env": {"WANDB_MODE": "offline"}}, id="offline"),
        pytest.param(
            {"report_to": "swanlab", "env": {"SWANLAB_MODE": "local"}}, id="swanlab, local"
        ),
        pytest.param(
            {"push_to_hub": True, "env": {"HF_TOKEN_PATH": "/secrets/hf"}}, id="a token's path"
        ),
    ],
)
def test_a_service_that_needs_no_secret_is_accepted(config: dict[str, Any]) -> None:
    assert refusals(config, environment=frozenset()) == []


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"WANDB_API_KEY", "HF_TOKEN"}, id="there"),
        pytest.param({"WANDB_MODE", "HUGGING_FACE_HUB_TOKEN"}, id="perhaps offline"),
        pytest.param(None, id="the content of a Secret is unknown"),
    ],
)
def test_a_service_is_accepted_if_its_secret_may_be_present(
    environment: Collection[str] | None,
) -> None:
    config = {"report_to": "wandb", "push_to_hub": True}

    assert refusals(config, environment=environment) == []
