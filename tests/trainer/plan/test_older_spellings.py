# SPDX-License-Identifier: Apache-2.0
"""TRL's own parser accepts a config in older spellings after the trainer has planned it."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from finetune_spec.config.parse.schema import load_schema
from finetune_spec.config.parse.spellings import OLDER, RETIRED
from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.plan.parsed_run import parse_run
from finetune_trainer.plan.training_plan import check_run, plan_training
from support.older_config import OLDER_CONFIG
from trainer.runs import a_run

pytestmark = pytest.mark.slow  # Importing TRL takes a quarter of a minute.

CPU = Hardware(gpus=0, cpus=4)
WITHOUT_A_GPU = {"bf16": False, "tf32": False}


def test_a_complete_older_config_reaches_trl_with_current_names(tmp_path: Path) -> None:
    from finetune_trainer.ranks.arguments import read_arguments

    run = parse_run(replace(a_run(), config={**OLDER_CONFIG, **WITHOUT_A_GPU}))
    check_run(run, CPU)
    plan = plan_training(run, CPU, local_paths={}, output=tmp_path / "out", resume=None)
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(dict(plan.config)))

    read = read_arguments(file)

    assert read.script.dataset_name == OLDER_CONFIG["dataset_id_or_path"]
    assert read.script.dataset_train_split == OLDER_CONFIG["train_split"]
    assert read.script.dataset_test_split == OLDER_CONFIG["validation_split"]
    assert read.training.run_name == OLDER_CONFIG["fine_tune_tag"]
    assert read.training.push_to_hub == OLDER_CONFIG["upload_to_hf"]
    assert read.training.max_length == OLDER_CONFIG["max_seq_length"]
    assert read.training.get_warmup_steps(1000) == 1000 * OLDER_CONFIG["warmup_ratio"]
    assert read.model.dtype == OLDER_CONFIG["torch_dtype"]
    assert read.data.system_message == OLDER_CONFIG["system_message"]


def test_no_older_or_retired_key_exists_in_the_pinned_trl() -> None:
    from trl import TrlParser

    from finetune_trainer.ranks.arguments import CONFIG_TYPES

    taken = {action.dest for action in TrlParser(CONFIG_TYPES)._actions}

    assert not taken & {*OLDER, *RETIRED}
    assert set(OLDER.values()) <= taken & set(load_schema().properties)
