# SPDX-License-Identifier: Apache-2.0
"""Command line over YAML over defaults, and an `env` block that is set before torch is imported."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_cli.files.job_file import parse_job, run_of
from finetune_cli.files.overrides import parse_overrides
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.plan.parsed_run import parse_run
from finetune_trainer.plan.training_plan import check_run, plan_training
from finetune_trainer.supervision.launching import rank_environment
from support.older_config import OLDER_CONFIG
from trainer import in_process

CPU = Hardware(gpus=0, cpus=2)
UNUSUAL = dict.fromkeys(("dataset_name", *in_process.USUAL))
"""Removes the keys of the tests' usual runs."""


def planned(*settings: str, **config: Any) -> Any:
    job = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "balloon"},
        "spec": {
            "config": {"model_name_or_path": "org/model", "dataset_name": "org/data", **config},
            "output": {"uri": "file:///out"},
        },
    }
    text = yaml.safe_dump(job).encode()
    read = parse_job(text, "job.yaml", overrides=parse_overrides(settings))
    run = run_of(read, "file:///out", processes=1, port=1)
    return plan_training(parse_run(run), CPU, local_paths={}, output=Path("/work"), resume=None)


def test_the_command_line_wins_over_the_yaml_and_the_yaml_over_the_defaults() -> None:
    plan = planned("learning_rate=1e-3", learning_rate=1e-4, logging_steps=7)

    assert plan.config["learning_rate"] == 1e-3
    assert plan.config["logging_steps"] == 7
    assert planned().config["logging_steps"] == 1


def test_the_env_block_is_in_the_ranks_environment_from_the_start() -> None:
    plan = planned(env={"TOKENIZERS_PARALLELISM": True, "MY_FLAG": 3, "OMP_NUM_THREADS": "1"})

    environment = rank_environment({"MY_FLAG": "of the pod", "HOME": "/"}, plan.environment)

    assert environment["MY_FLAG"] == "3"
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["HOME"] == "/"


def test_settings_that_no_cpu_supports_are_refused_key_by_key(tmp_path: Path) -> None:
    config = {**UNUSUAL, **OLDER_CONFIG}
    run = in_process.a_run(tmp_path, tmp_path, tmp_path, **config)

    with pytest.raises(AttemptFailed, match=r"^tf32: found true in a job without GPUs: remove it"):
        check_run(parse_run(run), CPU)

    check_run(parse_run(run), Hardware(gpus=1, cpus=4))
