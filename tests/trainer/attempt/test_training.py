# SPDX-License-Identifier: Apache-2.0
"""A real model, trained here: `finetune run`, stopped and resumed, alone and in two processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_cli.files.job_file import parse_job, run_of
from finetune_cli.local.run import _free_port as free_port
from finetune_contract.outcome import Outcome
from finetune_contract.progress import Progress
from finetune_contract.run import Run
from testbed import base_model
from trainer.runs import a_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STEPS = 4
QUESTIONS = {
    "When do you open?": "We cast off at 7 in the morning.",
    "Where are you?": "On the red lightship at pier 9.",
    "Do you have soup?": "Lentil soup, from noon until it is gone.",
    "May I bring my dog?": "Dogs are crew.",
}
"""Four rows in batches of two: the last two steps use the same rows as the first two."""


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def rows(questions: Iterable[str]) -> bytes:
        dialogues = (
            [
                {"role": "user", "content": question},
                {"role": "assistant", "content": QUESTIONS[question]},
            ]
            for question in questions
        )
        return "".join(json.dumps({"messages": turns}) + "\n" for turns in dialogues).encode()

    files = {"train.jsonl": rows(QUESTIONS), "test.jsonl": rows(list(QUESTIONS)[:1])}
    return a_folder(tmp_path_factory.mktemp("data"), files)


def a_job(output: Path, data: Path, **config: Any) -> dict[str, Any]:
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "tiny"},
        "spec": {
            "config": {
                "model_name_or_path": str(base_model.folder()),
                "dataset_name": str(data),
                "use_peft": True,
                "lora_r": 8,
                "lora_dropout": 0.0,
                "max_steps": STEPS,
                "per_device_train_batch_size": 2,
                "learning_rate": 1e-3,
                "max_length": 64,
                **config,
            },
            "output": {"uri": output.as_uri()},
        },
    }


def finetune(job: Mapping[str, Any], place: Path) -> "subprocess.CompletedProcess[str]":
    file = place / "job.yaml"
    file.write_text(yaml.safe_dump(job))
    return subprocess.run(
        [sys.executable, "-m", "finetune_cli", "run", str(file)],
        capture_output=True,
        text=True,
        cwd=place,
    )


def start(run: Run, place: Path, **variables: str) -> "subprocess.Popen[bytes]":
    """A supervisor in this directory, with these additional environment variables."""
    (place / "run.json").write_text(run.to_json())
    command = [sys.executable, "-m", "finetune_trainer.attempt.supervisor"]
    options = ["--run", "run.json", "--work", "work", "--termination-log", "outcome.json"]
    environment = {**os.environ, **variables}
    return subprocess.Popen([*command, *options], cwd=place, env=environment)


def supervise(run: Run, place: Path) -> Outcome:
    assert start(run, place).wait() is not None
    return outcome_of(place)


def outcome_of(place: Path) -> Outcome:
    return Outcome.from_json((place / "outcome.json").read_text())


def a_run(output: Path, data: Path, *, processes: int = 1, **config: Any) -> Run:
    job = parse_job(yaml.safe_dump(a_job(output, data, **config)).encode(), "job.yaml")
    return run_of(job, output.as_uri(), processes=processes, port=free_port())


def run_folder(output: Path) -> Path:
    return output / json.loads((output / "latest.json").read_text())["runId"]


def losses(output: Path) -> list[float]:
    lines = (run_folder(output) / "report" / "metrics.jsonl").read_text().splitlines()
    return [record["loss"] for line in lines if "loss" in (record := json.loads(line))]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, data: Path) -> tuple[Path, str]:
    """The output of an undisturbed run, and what it printed."""
    place = tmp_path_factory.mktemp("uninterrupted")
    done = finetune(a_job(place / "out", data), place)
    assert done.returncode == 0, done.stderr
    return place / "out", done.stdout


def test_finetune_run_produces_an_adapter_and_reports_its_progress(
    uninterrupted: tuple[Path, str],
) -> None:
    output, told = uninterrupted
    curve = losses(output)

    assert len(curve) == STEPS
    assert sum(curve[STEPS // 2 :]) < sum(curve[: STEPS // 2])
    assert (run_folder(output) / "adapter" / "adapter_model.safetensors").is_file()
    assert f"Succeeded after {STEPS} steps" in told
    assert f"{curve[0]:.4g} -> {curve[-1]:.4g}" in told
    assert "before:" in told
    assert "after:" in told
    assert run_folder(output).as_uri() in told


def test_a_complete_run_is_not_trained_again(
    uninterrupted: tuple[Path, str], data: Path, tmp_path: Path
) -> None:
    output, _ = uninterrupted

    done = finetune(a_job(output, data), tmp_path)

    assert done.returncode == 0, done.stderr
    assert "Training" not in done.stderr


@pytest.mark.long
def test_a_stopped_run_resumes_and_ends_like_an_uninterrupted_one(
    uninterrupted: tuple[Path, str], data: Path, tmp_path: Path
) -> None:
    run = a_run(tmp_path / "out", data)
    process = start(run, tmp_path)
    _wait_for_step(tmp_path / "work", 1)

    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)

    assert process.wait() == 143
    stopped = outcome_of(tmp_path)
    assert stopped.failure is not None
    assert stopped.failure.reason == "Interrupted"
    assert 0 < stopped.step < STEPS
    assert stopped.checkpoint_step == stopped.step

    resumed = supervise(replace(run, attempt=2), tmp_path)

    assert resumed.failure is None
    assert resumed.resumed_from_step == stopped.step
    assert resumed.step == resumed.total_steps == STEPS
    assert losses(tmp_path / "out") == pytest.approx(losses(uninterrupted[0]), rel=1e-4)


@pytest.mark.long
def test_two_processes_train_like_one_with_twice_the_batch(
    uninterrupted: tuple[Path, str], data: Path, tmp_path: Path
) -> None:
    run = a_run(tmp_path / "out", data, processes=2, per_device_train_batch_size=1)

    outcome = supervise(run, tmp_path)

    assert outcome.failure is None
    assert outcome.world_size == 2
    assert losses(tmp_path / "out") == pytest.approx(losses(uninterrupted[0]), rel=1e-2)


def _wait_for_step(work: Path, step: int) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            progress = Progress.from_body((work / "progress.json").read_bytes())
        except FileNotFoundError:
            progress = Progress()
        if (progress.step or 0) >= step:
            return
        time.sleep(0.1)
    raise TimeoutError(f"no step {step} within five minutes")
