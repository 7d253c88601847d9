# SPDX-License-Identifier: Apache-2.0
"""The supervisor as a process: every end has an outcome. Nothing here imports torch."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from finetune_contract.outcome import Category, ExitCode, Outcome
from finetune_contract.run import Run, digest
from finetune_trainer.attempt import output_place, supervisor
from finetune_trainer.failures import stopping
from trainer.runs import a_run


def start(tmp_path: Path, document: str) -> "subprocess.Popen[bytes]":
    (tmp_path / "run.json").write_text(document)
    command = [sys.executable, "-m", "finetune_trainer.attempt.supervisor"]
    options = ["--run", "run.json", "--work", "work", "--termination-log", "outcome.json"]
    return subprocess.Popen([*command, *options], cwd=tmp_path, stderr=subprocess.PIPE)


def outcome_of(tmp_path: Path) -> Outcome:
    return Outcome.from_json((tmp_path / "outcome.json").read_text())


def supervise(tmp_path: Path, document: str) -> tuple[int, Outcome]:
    """Its exit code and its outcome."""
    process = start(tmp_path, document)
    process.communicate()
    return process.returncode, outcome_of(tmp_path)


def local(tmp_path: Path, **config: object) -> Run:
    defaults = {"model_name_or_path": "org/model", "dataset_name": str(tmp_path)}
    return a_run(output=(tmp_path / "out").as_uri(), **{**defaults, **config})


def test_a_missing_dataset_is_a_user_error_with_the_searched_location(tmp_path: Path) -> None:
    run = local(tmp_path, dataset_name=str(tmp_path / "missing"))

    exit_code, outcome = supervise(tmp_path, run.to_json())

    assert exit_code == ExitCode.USER == 64
    assert outcome.failure is not None
    assert outcome.failure.reason == "DatasetNotFound"
    assert outcome.failure.phase == "Fetching"
    assert str(tmp_path / "missing") in outcome.failure.message


def test_a_typo_is_reported_before_anything_is_fetched(tmp_path: Path) -> None:
    exit_code, outcome = supervise(tmp_path, local(tmp_path, learning_rte=1e-4).to_json())

    assert exit_code == ExitCode.USER
    assert outcome.failure is not None
    assert "did you mean learning_rate?" in outcome.failure.message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("document", ["{", json.dumps({"version": 99})])
def test_a_document_of_another_release_still_gives_an_outcome(
    tmp_path: Path, document: str
) -> None:
    exit_code, outcome = supervise(tmp_path, document)

    assert exit_code == ExitCode.INTERNAL
    assert outcome.failure is not None
    assert outcome.failure.category is Category.INTERNAL


def test_an_attempt_trains_only_the_run_document_it_was_created_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, older = local(tmp_path, seed=2).to_json(), local(tmp_path, seed=1).to_json()
    monkeypatch.setenv("FINETUNE_RUN_DIGEST", digest(wanted))

    _, outcome = supervise(tmp_path, older)

    assert outcome.failure is not None
    assert outcome.failure.reason == "RunDocumentMismatch"
    # Another pod is created within the attempt, and gets its own document.
    assert outcome.failure.category is Category.INTERRUPTION
    assert digest(wanted) in outcome.failure.message


def test_the_matching_run_document_is_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = local(tmp_path, learning_rte=1e-4).to_json()
    monkeypatch.setenv("FINETUNE_RUN_DIGEST", digest(document))

    exit_code, _ = supervise(tmp_path, document)

    assert exit_code == ExitCode.USER


class PanicException(BaseException):
    """A fake of a Rust library's panic: its class cannot be imported."""


@pytest.mark.parametrize(
    "error", [PanicException("called unwrap"), SystemExit(2), GeneratorExit(), MemoryError()]
)
@pytest.mark.parametrize("place", ["claim_output", "find_hardware"])
def test_any_exception_of_a_library_still_gives_an_outcome(
    place: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both during the attempt and before it begins."""

    def give_up(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(output_place if place == "claim_output" else supervisor, place, give_up)
    monkeypatch.setattr(stopping.signal, "signal", lambda *_: None)
    monkeypatch.setattr(supervisor, "hide_in_output", lambda *_: None)
    (tmp_path / "run.json").write_text(local(tmp_path).to_json())
    options = ("--run", "run.json", "--work", "work", "--termination-log", "outcome.json")
    paths = (it if it.startswith("--") else str(tmp_path / it) for it in options)

    exit_code = supervisor.main(list(paths))

    failure = outcome_of(tmp_path).failure
    assert exit_code != ExitCode.SUCCEEDED
    assert failure is not None
    assert failure.message
    if not isinstance(error, MemoryError):
        assert failure.reason == "Internal"


def test_the_supervisor_never_imports_torch() -> None:
    modules = "finetune_trainer.attempt.supervisor, finetune_cli.local.run"
    script = f"import sys, {modules}; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_a_stop_is_handled_while_a_store_does_not_respond(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, "unused")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    process = start(tmp_path, a_run().to_json())
    assert process.stderr is not None
    while b"phase Fetching" not in process.stderr.readline():
        pass
    time.sleep(0.5)

    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=10) == ExitCode.INTERRUPTED == 143
    process.stderr.close()
    outcome = outcome_of(tmp_path)
    assert outcome.failure is not None
    assert outcome.failure.category is Category.INTERRUPTION


STOPPED_WHILE_IMPORTING = """
import os, runpy, signal, sys

class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == "finetune_trainer.attempt.supervisor":
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Stop())
# As the kernel does for a container's first process.
signal.signal(signal.SIGTERM, signal.SIG_IGN)
runpy.run_module("finetune_trainer", run_name="__main__")
"""


def test_a_container_can_be_stopped_before_its_first_process_has_imported_anything() -> None:
    done = subprocess.run([sys.executable, "-c", STOPPED_WHILE_IMPORTING], capture_output=True)

    assert done.returncode == ExitCode.INTERRUPTED, done.stderr
