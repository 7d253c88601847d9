# SPDX-License-Identifier: Apache-2.0
"""Slow packages are not imported in ranks that do not need them."""

import subprocess
import sys
from typing import Any

import pytest

from finetune_trainer.plan.exclusions import DEEPSPEED, excluded_packages
from trainer.runs import a_parsed_run


@pytest.mark.parametrize(
    ("config", "variables", "is_wanted"),
    [
        pytest.param({}, {}, False, id="neither"),
        pytest.param({"accelerate_config": "fsdp2"}, {}, False, id="FSDP"),
        pytest.param({"accelerate_config": "zero2"}, {}, True, id="a profile"),
        pytest.param({"deepspeed": "ds_zero2.json"}, {}, True, id="a file"),
        pytest.param({}, {"ACCELERATE_USE_DEEPSPEED": "true"}, True, id="a variable"),
    ],
)
def test_only_ranks_that_request_deepspeed_see_it(
    config: dict[str, Any], variables: dict[str, str], is_wanted: bool
) -> None:
    assert (
        DEEPSPEED not in excluded_packages(a_parsed_run(**config).config, variables)
    ) == is_wanted


@pytest.mark.slow
def test_a_rank_imports_deepspeed_neither_through_trl_nor_accelerate() -> None:
    code = """
import sys
from finetune_spec.config import read_config
from finetune_trainer.plan.exclusions import excluded_packages
for package in excluded_packages(read_config({}), {}):
    sys.modules[package] = None
import torch
import trl
from accelerate.utils import extract_model_from_parallel
trl.SFTTrainer
extract_model_from_parallel(torch.nn.Linear(1, 1))
print(sorted(name for name in sys.modules if name.startswith("deepspeed.")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
