# SPDX-License-Identifier: Apache-2.0
"""The supervisor as a process on a node without the promised GPUs.

The driver is a fake. Nothing here imports torch, or downloads anything.
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from finetune_contract.outcome import ExitCode, Outcome
from finetune_contract.run import World
from support.fake_gpus.fake_driver import build_driver, variables
from trainer.runs import a_folder, a_run

pytestmark = pytest.mark.skipif(
    shutil.which("gcc") is None, reason="The fake driver is built with gcc."
)

TWO_GPUS = World(processes_per_node=2, gpus_per_node=2, gpu_resource="nvidia.com/gpu")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_driver(tmp_path_factory.mktemp("driver"))


def supervise(place: Path, environment: Mapping[str, str], world: World) -> tuple[int, Outcome]:
    """Its exit code and its outcome."""
    data = a_folder(place / "data", {"train.jsonl": b'{"text": "a"}\n'})
    run = a_run(
        output=(place / "out").as_uri(),
        world=world,
        model_name_or_path=str(place / "no-model"),
        dataset_name=str(data),
    )
    (place / "run.json").write_text(run.to_json())
    command = [sys.executable, "-m", "finetune_trainer.attempt.supervisor"]
    options = ["--run", "run.json", "--work", "work", "--termination-log", "outcome.json"]
    done = subprocess.run([*command, *options], cwd=place, env=environment, capture_output=True)
    return done.returncode, Outcome.from_json((place / "outcome.json").read_text())


@pytest.mark.parametrize(
    ("settings", "reason", "exit_code"),
    [
        pytest.param({"gpus": 0}, "GpuMissing", ExitCode.INFRASTRUCTURE, id="none"),
        pytest.param({"gpus": 1}, "GpuMissing", ExitCode.INFRASTRUCTURE, id="too few"),
        pytest.param(
            {"gpus": 2, "cuda": 12040, "driver": "550.54.15"},
            "DriverTooOld",
            ExitCode.PLATFORM,
            id="an old driver",
        ),
        pytest.param(
            {"gpus": 2, "gpu_capability": 70}, "GpuTooOld", ExitCode.USER, id="an old GPU"
        ),
    ],
)
def test_a_job_without_its_requested_gpus_ends_before_it_fetches(
    tmp_path: Path, driver: Path, settings: dict[str, object], reason: str, exit_code: ExitCode
) -> None:
    found, outcome = supervise(tmp_path, variables(driver, **settings), TWO_GPUS)

    assert outcome.failure is not None
    assert (found, outcome.failure.reason) == (exit_code, reason)
    assert outcome.failure.phase == "Fetching"
    assert not (tmp_path / "out").exists()


def test_a_gpu_job_never_falls_back_to_the_cpu(tmp_path: Path) -> None:
    found, outcome = supervise(tmp_path, variables(tmp_path), TWO_GPUS)

    assert outcome.failure is not None
    assert (found, outcome.failure.reason) == (ExitCode.PLATFORM, "DriverMissing")


def test_the_outcome_names_gpus_and_driver(tmp_path: Path, driver: Path) -> None:
    settings = {"gpus": 2, "gpu_name": "NVIDIA H100 80GB HBM3"}
    _, outcome = supervise(tmp_path, variables(driver, **settings), TWO_GPUS)

    assert outcome.failure is not None
    # The GPUs are as promised, so it checks the model next.
    assert outcome.failure.reason == "ModelNotFound"
    assert outcome.hardware == "2 x NVIDIA H100 80GB HBM3, driver 580.65.06 (CUDA 13.0)"
