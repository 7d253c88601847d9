# SPDX-License-Identifier: Apache-2.0
"""The schemas for editors and pipelines: valid input passes, and a typing error never does."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from finetune_spec.config.check.ranges import RANGES
from repository.editor_schemas import CONFIG, JOB, contents

EXAMPLES = sorted((JOB.parents[1] / "examples").glob("*.yaml"))
MODELINE = "# yaml-language-server: $schema=../schemas/finetunejob.schema.json"

CONFIG_VALIDATOR = Draft7Validator(json.loads(CONFIG.read_text()))
JOB_VALIDATOR = Draft7Validator(json.loads(JOB.read_text()))

A_CONFIG = {"model_name_or_path": "m", "dataset_name": "d"}
A_JOB: dict[str, Any] = {
    "apiVersion": "finetune.dev/v1alpha1",
    "kind": "FineTuneJob",
    "metadata": {"name": "balloon"},
    "spec": {"config": A_CONFIG, "output": {"uri": "s3://models/balloon"}},
}


def mistakes(config: dict[str, Any]) -> list[str]:
    """The errors of a bare config, in a word or two."""
    return [error.json_path for error in CONFIG_VALIDATOR.iter_errors(A_CONFIG | config)]


def a_job(path: str, value: Any) -> dict[str, Any]:
    """A valid job with this value at this path; None removes it."""
    job = deepcopy(A_JOB)
    *sections, field = path.split(".")
    place = job
    for section in sections:
        place = place.setdefault(section, {})
    if value is None:
        del place[field]
    else:
        place[field] = value
    return job


@pytest.mark.parametrize("file", [CONFIG, JOB], ids=lambda file: file.name)
def test_a_schema_matches_the_tables_it_is_generated_from(file: Path) -> None:
    assert file.read_text() == contents()[file], "run make generate"


@pytest.mark.parametrize("validator", [CONFIG_VALIDATOR, JOB_VALIDATOR], ids=["config", "job"])
def test_an_editor_schema_is_a_valid_json_schema(validator: Draft7Validator) -> None:
    Draft7Validator.check_schema(validator.schema)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_every_example_validates(file: Path) -> None:
    jobs = [job for job in yaml.safe_load_all(file.read_text()) if job["kind"] == "FineTuneJob"]

    for job in jobs:
        JOB_VALIDATOR.validate(job)
        bare = {**job["spec"]["config"], "output_dir": "here"}
        CONFIG_VALIDATOR.validate(bare)


def test_the_first_example_names_its_schema_for_editors() -> None:
    file = JOB.parents[1] / "examples" / "first-job.yaml"

    assert MODELINE in file.read_text().splitlines()
    assert (file.parent / MODELINE.rpartition("=")[2]).resolve() == JOB


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"learning_rate": 2.0e-4}, id="a number"),
        pytest.param({"num_train_epochs": 3}, id="a whole number for a number"),
        pytest.param({"max_length": None}, id="null where TRL takes it"),
        pytest.param({"dtype": None}, id="null among choices"),
        pytest.param({"report_to": "wandb"}, id="one of a union"),
        pytest.param({"report_to": ["wandb", "trackio"]}, id="the other of a union"),
        pytest.param({"max_steps": -1}, id="the default that means none"),
        pytest.param({"eval_steps": 0.1}, id="a share of the steps"),
        pytest.param({"eval_steps": 200}, id="a number of steps"),
        pytest.param({"torch_dtype": "bfloat16"}, id="an older spelling"),
        pytest.param({"overwrite_output_dir": True}, id="a key that is gone, and changes nothing"),
        pytest.param({"fsdp_config": {"min_num_params": 1}}, id="a mapping"),
        pytest.param({"env": {"A": "1"}}, id="environment"),
        pytest.param({"datasets": [{"path": "a", "fraction": 0.5}]}, id="a mixture"),
        pytest.param({"output_dir": "here"}, id="without an operator"),
    ],
)
def test_a_config_that_trl_accepts_validates(config: dict[str, Any]) -> None:
    assert mistakes(config) == []


@pytest.mark.parametrize(
    ("config", "path"),
    [
        pytest.param({"learning_rte": 1e-4}, "$", id="a typo"),
        pytest.param({"learning_rate": "1e-4"}, "$.learning_rate", id="a number in quotes"),
        pytest.param({"learning_rate": -1}, "$.learning_rate", id="below its range"),
        pytest.param({"max_length": -5}, "$.max_length", id="a negative length"),
        pytest.param({"max_length": 2.5}, "$.max_length", id="half a token"),
        pytest.param({"adam_beta1": 1}, "$.adam_beta1", id="at the end of an open range"),
        pytest.param({"eval_steps": 1.5}, "$.eval_steps", id="neither steps nor a share"),
        pytest.param({"eval_strategy": "epochs"}, "$.eval_strategy", id="no choice"),
        pytest.param({"eval_strategy": False}, "$.eval_strategy", id="a bare no"),
        pytest.param({"max_seq_length": "x"}, "$.max_seq_length", id="in an older spelling"),
        pytest.param({"adafactor": True}, "$.adafactor", id="a key that is gone, and mattered"),
        pytest.param({"datasets": [{"pth": "a"}]}, "$.datasets[0]", id="a typo in a mixture"),
        pytest.param({"include_for_metrics": [1]}, "$.include_for_metrics[0]", id="in a list"),
        pytest.param({"learning_rate": None}, "$.learning_rate", id="null where TRL has none"),
    ],
)
def test_a_config_that_trl_refuses_is_underlined(config: dict[str, Any], path: str) -> None:
    assert set(mistakes(config)) == {path}


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"dataset_name": "d"}, id="no model"),
        pytest.param({"model_name_or_path": "m"}, id="no data"),
    ],
)
def test_a_config_requires_a_model_and_data(config: dict[str, Any]) -> None:
    assert not CONFIG_VALIDATOR.is_valid(config)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param("apiVersion", "finetune.dev/v1", id="another version"),
        pytest.param("kind", "FinetuneJob", id="another kind"),
        pytest.param("specs", {}, id="a typo at the top"),
        pytest.param("spec.configs", {}, id="a typo in the spec"),
        pytest.param("spec.config.learning_rte", 1e-4, id="a typo in the config"),
        pytest.param("spec.config.output_dir", "x", id="a key of the operator's"),
        pytest.param("spec.resources.gpus", 1, id="a typo in resources"),
        pytest.param("spec.resources.nodes", 0, id="no node"),
        pytest.param("spec.resources.memory", "64 GB", id="no quantity"),
        pytest.param("spec.output.uri", "models/balloon", id="no scheme"),
        pytest.param("spec.output", None, id="no output"),
    ],
)
def test_an_invalid_job_is_underlined(path: str, value: Any) -> None:
    assert JOB_VALIDATOR.is_valid(A_JOB)
    assert not JOB_VALIDATOR.is_valid(a_job(path, value))


def test_editors_show_help_defaults_choices_and_ranges() -> None:
    keys = CONFIG_VALIDATOR.schema["properties"]

    assert keys["learning_rate"] == {
        "description": "The initial learning rate for AdamW. Default: 2e-05.",
        "type": ["number"],
        "default": 2e-5,
        "minimum": 0,
    }
    assert keys["eval_strategy"]["enum"] == ["no", "steps", "epoch"]
    assert keys["max_seq_length"]["deprecated"] is True
    assert keys["max_seq_length"]["deprecationMessage"] == "Older spelling of max_length."


def test_every_range_is_in_the_schema() -> None:
    bounds = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "anyOf"}
    keys = CONFIG_VALIDATOR.schema["properties"]

    assert [key for key in RANGES if not bounds & keys[key].keys()] == []
