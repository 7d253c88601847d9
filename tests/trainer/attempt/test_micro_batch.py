# SPDX-License-Identifier: Apache-2.0
"""`per_device_train_batch_size: auto` in the pod: chosen for this node's hardware, and reported."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_contract.progress import Progress
from finetune_trainer.attempt.micro_batch import settle_micro_batch, with_micro_batch
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.plan.node.hardware import Gpu, Gpus, Hardware
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.progress.reporting import Reporter, silent
from trainer import in_process
from trainer.attempt.test_expected_memory import MODEL, a_model
from trainer.runs import a_parsed_run

GIB = 1024**3
BATCH, ACCUMULATION = "per_device_train_batch_size", "gradient_accumulation_steps"
AUTO: dict[str, Any] = {BATCH: "auto", ACCUMULATION: 24, "use_peft": True, "max_length": 2048}


def gpus(*sizes: int) -> Hardware:
    devices = tuple(Gpu(name="X", capability=(9, 0), memory_bytes=size * GIB) for size in sizes)
    return Hardware(gpus=len(devices), cpus=4, found=Gpus(devices=devices))


def chosen(place: Path, hardware: Hardware, **config: Any) -> tuple[Any, Any]:
    run = a_parsed_run(**{**AUTO, **config})
    settled = with_micro_batch(run, hardware, a_model(place), {})
    assert not settled.config.has_auto_batch
    assert settled.adjustments.keys() == {BATCH, ACCUMULATION}
    return settled.config[BATCH], settled.config[ACCUMULATION]


def test_a_larger_gpu_gets_larger_micro_batches_and_the_same_step(tmp_path: Path) -> None:
    small, large = chosen(tmp_path, gpus(10)), chosen(tmp_path, gpus(80))

    assert small[0] < large[0] == 24
    assert small[0] * small[1] == large[0] * large[1] == 24


def test_the_smallest_gpu_limits_the_micro_batch(tmp_path: Path) -> None:
    assert chosen(tmp_path, gpus(80, 10)) == chosen(tmp_path, gpus(10))


def test_a_gpu_that_the_job_did_not_request_does_not_count(tmp_path: Path) -> None:
    found = replace(gpus(80, 10), gpus=1)

    assert chosen(tmp_path, found) == chosen(tmp_path, gpus(80))


def test_without_a_gpu_the_micro_batch_is_one_row(tmp_path: Path) -> None:
    assert chosen(tmp_path, Hardware(gpus=0, cpus=4)) == (1, 24)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param({"model_type": "clip"}, id="too little"),
        pytest.param({**MODEL, "hidden_size": "wide"}, id="nonsense"),
    ],
)
def test_a_model_that_cannot_be_estimated_gets_single_rows_and_a_log_line(
    tmp_path: Path, model: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    run = a_parsed_run(**AUTO)
    with caplog.at_level(logging.INFO):
        settled = with_micro_batch(run, gpus(80), a_model(tmp_path, model), {})

    assert settled.config[BATCH] == 1
    assert "micro-batch chosen rows=1 accumulated=24 reason=" in caplog.text


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(a_parsed_run(**{**AUTO, BATCH: 2}), id="a number"),
        # As after running out of memory: half of the previous choice.
        pytest.param(a_parsed_run(**AUTO, adjustments={BATCH: 3, ACCUMULATION: 8}), id="adjusted"),
    ],
)
def test_a_numeric_batch_size_is_unchanged(run: ParsedRun) -> None:
    nobody: Any = None

    assert settle_micro_batch(run, nobody, {}) is run


def test_progress_of_the_ranks_does_not_hide_the_chosen_micro_batch(tmp_path: Path) -> None:
    workspace = Workspace(root=tmp_path)
    reporter = Reporter(workspace, silent, 60, attempt=1)
    reporter.note_micro_batch(4)
    workspace.progress.write_bytes(Progress(step=3).to_body())

    assert Progress.from_body(reporter.current().to_body()).micro_batch == 4


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_automatic_batch_size_trains_like_the_number_and_is_recorded(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    def train(name: str, **config: Any) -> in_process.Trained:
        place = tmp_path / name
        place.mkdir()
        return in_process.train(place, tiny_model, dialogues, **config, **{ACCUMULATION: 2})

    auto, by_hand = train("auto", **{BATCH: "auto"}), train("hand", **{BATCH: 1})

    assert auto.outcome.failure is None, auto.outcome
    assert (auto.outcome.micro_batch, by_hand.outcome.micro_batch) == (1, 0)
    assert auto.losses() == by_hand.losses()
    resolved = yaml.safe_load((auto.report / "config.yaml").read_text())
    assert (resolved[BATCH], resolved[ACCUMULATION]) == (1, 2)
