# SPDX-License-Identifier: Apache-2.0
"""The keys that a config may have: a misspelt one gets the nearest."""

from pathlib import Path

import pytest
import yaml

from finetune_spec.config.suggest.tables import places
from finetune_spec.config.suggest.unknown import MOST_TOLD, read_unknown
from support.key_verdicts import GOOD, NO_KEY, SCHEMA, found, refusals, rows

CRD = Path(__file__).parents[3] / "crds" / "finetunejobs.yaml"


@pytest.mark.parametrize("key", sorted(SCHEMA.properties))
def test_a_trl_key_with_its_default_never_gets_a_warning(key: str) -> None:
    assert found({**GOOD, key: GOOD.get(key, SCHEMA.default(key))}) == []


@pytest.mark.parametrize(
    ("written", "meant"),
    rows(
        {
            "learning_rte": "learning_rate",
            "leanring_rate": "learning_rate",
            "learningRate": "learning_rate",
            "LearningRate": "learning_rate",
            "learning-rate": "learning_rate",
            "--learning_rate": "learning_rate",
            "LEARNING_RATE": "learning_rate",
            "learning rate": "learning_rate",
            "learningrate": "learning_rate",
            "loadIn4Bit": "load_in_4bit",
            "num_train_epoch": "num_train_epochs",
            "numTrainEpochs": "num_train_epochs",
            "gradient_accumulation_step": "gradient_accumulation_steps",
            "gradient_acumulation_steps": "gradient_accumulation_steps",
            "per_device_train_batchsize": "per_device_train_batch_size",
            "per_device_train_batch_sizes": "per_device_train_batch_size",
            "train_per_device_batch_size": "per_device_train_batch_size",
            "lora_alfa": "lora_alpha",
            "lora_target_module": "lora_target_modules",
            "eval_stratgy": "eval_strategy",
            "save_step": "save_steps",
            "max_lenght": "max_length",
            "wieght_decay": "weight_decay",
            "weightDecay": "weight_decay",
            "gradient_checkpoint": "gradient_checkpointing",
            "report": "report_to",
            "asistant_only_loss": "assistant_only_loss",
            "enable_packing_strategy": "packing_strategy",
            "train_split_": "dataset_train_split",
            "bf_16": "bf16",
            "model_name_or_pth": "model_name_or_path",
        }
    ),
)
def test_a_misspelt_key_gets_the_nearest_key(written: str, meant: str) -> None:
    (sentence,) = refusals({written: 1})

    assert sentence in (
        f"{written}: {NO_KEY}, did you mean {meant}?",
        f"{written}: {NO_KEY}, write {meant}",
    )


@pytest.mark.parametrize("word", ["xyzzy", "foo_bar", "callbacks", "my_own_setting", "x"])
def test_a_key_that_resembles_none_gets_no_suggestion(word: str) -> None:
    assert refusals({word: 1}) == [f"{word}: {NO_KEY}"]


@pytest.mark.parametrize(
    ("older", "newer"),
    rows(
        {
            "maxSeqLength": "max_length",
            "torch-dtype": "dtype",
            "EVALUATION_STRATEGY": "eval_strategy",
        }
    ),
)
def test_an_older_spelling_in_another_style_gets_the_newest_key(older: str, newer: str) -> None:
    assert refusals({older: 1}) == [f"{older}: {NO_KEY}, write {newer}"]


@pytest.mark.parametrize(
    ("written", "place"),
    rows(
        {
            "resources": "spec.resources",
            "nodes": "spec.resources.nodes",
            "num_nodes": "spec.resources.nodes",
            "gpusPerNode": "spec.resources.gpusPerNode",
            "nvidia.com/gpu": "spec.resources.gpusPerNode",
            "num_gpus": "spec.resources.gpusPerNode",
            "memory": "spec.resources.memory",
            "output": "spec.output",
            "image": "spec.image",
            "retry": "spec.retry",
            "maxAttempts": "spec.retry.maxAttempts",
            "backoffLimit": "spec.retry.maxAttempts",
            "credentialsSecretRef": "spec.output.credentialsSecretRef",
            "runToken": "spec.runToken",
            "namespace": "metadata.namespace",
            "apiVersion": "apiVersion",
        }
    ),
)
def test_a_key_that_belongs_outside_config_gets_its_path(written: str, place: str) -> None:
    assert refusals({written: {}}) == [
        f"{written}: {NO_KEY}, write it outside of config, as {place}"
    ]


def test_every_field_of_a_spec_has_a_path() -> None:
    (version,) = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]

    assert {f"spec.{field}" for field in spec if field != "config"} <= set(places().values())


def test_every_unknown_key_is_reported_once() -> None:
    config = {"learning_rte": 1, "base_model": "m", "lora": {"r": 8}, "nodes": 2}

    paths = [unknown.problem.path for unknown in read_unknown(config, SCHEMA)]

    assert paths == ["learning_rte", "base_model", "lora.r", "nodes"]


def test_only_the_first_of_many_unknown_keys_are_reported() -> None:
    config = {f"learning_rte_{number}": number for number in range(20_000)}

    told = refusals(GOOD | config)

    assert len(told) == MOST_TOLD + 1
    assert "there may be more" in told[-1]
