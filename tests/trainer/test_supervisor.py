# SPDX-License-Identifier: Apache-2.0
"""The supervisor as a process: every ending is an outcome. Nothing here gets as far as torch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from finetune_contract.outcome import Blame, ExitCode, Outcome
from finetune_contract.run import Run
from trainer.runs import a_run


def supervise(tmp_path: Path, document: str) -> tuple[int, Outcome]:
    """Its exit code and its outcome."""
    (tmp_path / "run.json").write_text(document)
    command = [sys.executable, "-m", "finetune_trainer.supervisor"]
    options = ["--run", "run.json", "--work", "work", "--termination-log", "outcome.json"]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True)
    return done.returncode, Outcome.from_json((tmp_path / "outcome.json").read_text())


def local(tmp_path: Path, **config: object) -> Run:
    defaults = {"model_name_or_path": "org/model", "dataset_name": str(tmp_path)}
    return a_run(output=(tmp_path / "out").as_uri(), **{**defaults, **config})


def test_a_missing_data_set_is_the_users_and_says_where_it_looked(tmp_path: Path) -> None:
    run = local(tmp_path, dataset_name=str(tmp_path / "missing"))

    exit_code, outcome = supervise(tmp_path, run.to_json())

    assert exit_code == ExitCode.USER == 64
    assert outcome.failure is not None
    assert outcome.failure.reason == "DatasetNotFound"
    assert outcome.failure.phase == "Fetching"
    assert str(tmp_path / "missing") in outcome.failure.message


def test_a_typo_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    exit_code, outcome = supervise(tmp_path, local(tmp_path, learning_rte=1e-4).to_json())

    assert exit_code == ExitCode.USER
    assert outcome.failure is not None
    assert "did you mean learning_rate?" in outcome.failure.message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("document", ["{", json.dumps({"version": 99})])
def test_a_document_of_another_release_is_an_outcome_too(tmp_path: Path, document: str) -> None:
    exit_code, outcome = supervise(tmp_path, document)

    assert exit_code == ExitCode.INTERNAL
    assert outcome.failure is not None
    assert outcome.failure.blame is Blame.INTERNAL


def test_the_supervisor_never_imports_torch() -> None:
    modules = "finetune_trainer.supervisor, finetune_trainer.command_line"
    script = f"import sys, {modules}; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
