# SPDX-License-Identifier: Apache-2.0
"""An attempt's memory estimate before it trains; it never fails the run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from finetune_contract.progress import GpuMemory, Progress
from finetune_contract.run import World
from finetune_trainer.attempt.expected_memory import expect_memory
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.progress.reporting import Reporter, silent
from trainer.runs import a_parsed_run

GPU = Hardware(gpus=1, cpus=4)
MODEL: Mapping[str, Any] = {
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "vocab_size": 32000,
}


def a_model(folder: Path, config: Mapping[str, Any] = MODEL) -> Mapping[str, Path]:
    (folder / "config.json").write_text(json.dumps(config))
    return {"s3://models/tiny": folder}


def test_a_fetched_model_is_estimated(tmp_path: Path) -> None:
    expected = expect_memory(a_parsed_run(), GPU, a_model(tmp_path), {})

    assert expected is not None
    assert expected.total > expected.weights > 4 * 10**9


def test_an_attempts_adjustments_are_included(tmp_path: Path) -> None:
    run, paths = a_parsed_run(), a_model(tmp_path)
    smaller = a_parsed_run(adjustments={"per_device_train_batch_size": 1})

    whole, adjusted = (expect_memory(one, GPU, paths, {}) for one in (run, smaller))

    assert whole is not None
    assert adjusted is not None
    assert adjusted.activations < whole.activations


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"model_type": "clip"}, id="too little"),
        pytest.param({**MODEL, "hidden_size": "wide"}, id="nonsense"),
        pytest.param({**MODEL, "quantization_config": 7}, id="more nonsense"),
    ],
)
def test_a_model_with_too_little_information_has_no_estimate(
    tmp_path: Path, config: Mapping[str, Any]
) -> None:
    assert expect_memory(a_parsed_run(), GPU, a_model(tmp_path, config), {}) is None


def test_a_config_that_cannot_be_evaluated_has_no_estimate(tmp_path: Path) -> None:
    run = a_parsed_run(adjustments={"per_device_train_batch_size": "many"})

    assert expect_memory(run, GPU, a_model(tmp_path), {}) is None


def test_every_process_has_its_own_overhead(tmp_path: Path) -> None:
    paths = a_model(tmp_path)
    alone = expect_memory(a_parsed_run(), GPU, paths, {})
    together = expect_memory(a_parsed_run(world=World(processes_per_node=2)), GPU, paths, {})

    assert alone is not None
    assert together is not None
    assert together.overhead > alone.overhead


def test_progress_of_the_ranks_does_not_hide_the_estimate(tmp_path: Path) -> None:
    workspace = Workspace(root=tmp_path)
    reporter = Reporter(workspace, silent, 60, attempt=1)
    reporter.note_memory(7)
    workspace.progress.write_bytes(Progress(step=3, memory=GpuMemory(peak_bytes=5)).to_body())

    current = reporter.current()

    assert current.memory.estimated_bytes == 7
    assert current.memory.peak_bytes == 5
