# SPDX-License-Identifier: Apache-2.0
"""A stop after training, while the artifact is being uploaded.

A hanging store is simulated by a directory in which the temporary name of a file is a pipe without
a reader: opening it blocks, as on a lost network disk.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from finetune_contract.outcome import Category, ExitCode
from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import AttemptFailed, Interrupted
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.publication import artifact
from finetune_trainer.supervision import rank_supervision
from trainer.in_process import a_run, carry_out_here
from trainer.publication.test_publication import RESULT, Place

ARTIFACT = "adapter/adapter_model.safetensors"


@contextmanager
def hanging(folder: Path, path: str) -> Iterator[None]:
    """Writing this file blocks until the block ends."""
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    pipe = target.with_name(f".draft-{os.getpid()}-{target.name}")
    os.mkfifo(pipe)
    try:
        yield
    finally:
        # The blocked writer continues, and fails: interpreters wait for threads at their end.
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        pipe.unlink(missing_ok=True)
        os.close(reader)


@contextmanager
def stopping_at(step: str) -> Iterator[StopRequest]:
    """A stop that is requested when publication reaches this function."""
    stop, whole = StopRequest(), getattr(artifact, step)

    def stopped(*arguments: Any) -> Any:
        stop.request()
        return whole(*arguments)

    with mock.patch.object(artifact, step, stopped):
        yield stop


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def publish(place: Place, stop: StopRequest) -> Any:
    return artifact.publish(
        place.output, place.store, place.run, place.workspace, RESULT, stop=stop
    )


@pytest.mark.parametrize("path", [ARTIFACT, "report/report.html", "manifest.json"])
def test_a_hanging_publication_is_abandoned_incomplete(place: Place, path: str) -> None:
    stop = StopRequest()
    stop.request()

    with hanging(place.store.root, path), pytest.raises(Interrupted):
        publish(place, stop.after(0.5))

    assert artifact.published_outcome(place.store, StopRequest()) is None
    assert "latest.json" not in place.output.names()


def test_a_publication_that_needs_little_time_is_finished_after_a_stop(place: Place) -> None:
    stop = StopRequest()
    stop.request()

    assert publish(place, stop.after(3600)).failure is None

    assert "latest.json" in place.output.names()


@pytest.mark.slow
def test_a_stop_while_publishing_saves_the_last_checkpoint_and_the_next_attempt_publishes(
    tmp_path: Path, tiny_model: Path, dialogues: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(tmp_path, tiny_model, dialogues, save_strategy="steps", save_steps=2)
    published = tmp_path / "out" / run.run_id
    monkeypatch.setattr(rank_supervision, "RANKS_SHARE_OF_GRACE", 0.0)

    with hanging(published, ARTIFACT), stopping_at("publish") as stop:
        stopped = carry_out_here(run, tmp_path, stop)

    assert stopped.outcome.failure is not None
    assert stopped.outcome.exit_code is ExitCode.INTERRUPTED
    assert stopped.outcome.checkpoint_step == 2
    assert not (published / "manifest.json").exists()

    resumed = carry_out_here(replace(run, attempt=2), tmp_path)

    assert resumed.outcome.failure is None, resumed.words()
    assert resumed.outcome.resumed_from_step == 2
    assert (tmp_path / "out" / "latest.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reason", "category", "is_saved"),
    [
        (Reason.STORE_UNREACHABLE, None, True),
        (Reason.CREDENTIALS_EXPIRED, Category.USER, True),
        (Reason.ACCESS_DENIED, None, False),
    ],
)
def test_an_artifact_that_the_store_refused_leaves_the_last_checkpoint(
    reason: Reason,
    category: Category | None,
    is_saved: bool,
    tmp_path: Path,
    tiny_model: Path,
    dialogues: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Unless the next attempt could not publish it either."""
    run = a_run(tmp_path, tiny_model, dialogues, save_strategy="steps", save_steps=2)
    failure = reason.failure("not now", "wait", category=category)

    def refuse(*_: object) -> None:
        raise AttemptFailed(failure)

    with monkeypatch.context() as patch:
        patch.setattr(artifact, "publish", refuse)
        failed = carry_out_here(run, tmp_path)

    assert failed.outcome.failure is not None
    assert failed.outcome.failure.reason == reason
    assert failed.outcome.checkpoint_step == (2 if is_saved else 0)
    if is_saved:
        assert failed.outcome.failure.category is Category.INFRASTRUCTURE
        resumed = carry_out_here(replace(run, attempt=2), tmp_path)
        assert resumed.outcome.failure is None, resumed.words()
        assert resumed.outcome.resumed_from_step == 2


@pytest.mark.slow
def test_the_next_attempt_sets_the_pointer_of_a_complete_run(
    tmp_path: Path, tiny_model: Path, dialogues: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(tmp_path, tiny_model, dialogues)
    monkeypatch.setattr(rank_supervision, "UPLOAD_SHARE_OF_GRACE", 0.0)

    with hanging(tmp_path / "out", "latest.json"), stopping_at("point_to") as stop:
        stopped = carry_out_here(run, tmp_path, stop)
    assert stopped.outcome.exit_code is ExitCode.INTERRUPTED
    again = carry_out_here(replace(run, attempt=2), tmp_path)

    assert again.outcome.failure is None, again.words()
    assert not again.workspace.metrics.exists()
    pointer = json.loads((tmp_path / "out" / "latest.json").read_bytes())
    assert again.outcome.artifact is not None
    assert pointer["digest"] == again.outcome.artifact.digest
