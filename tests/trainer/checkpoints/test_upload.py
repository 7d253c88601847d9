# SPDX-License-Identifier: Apache-2.0
"""Uploads of the ranks' checkpoints during training."""

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_contract.outcome import Failure
from finetune_contract.progress import Progress, Unsaved
from finetune_contract.reasons import Reason
from finetune_trainer.checkpoints import checkpoints, upload
from finetune_trainer.checkpoints.checkpoints import Writer
from finetune_trainer.checkpoints.upload import CheckpointUploader
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.progress.reporting import Reporter, silent
from finetune_trainer.storage.folder import FolderStore
from trainer.runs import a_folder


class Uploads:
    """An uploader with its store, its work directory and its reports."""

    def __init__(
        self,
        place: Path,
        *,
        node: int = 0,
        nodes: int = 1,
        also: Callable[[Path, int], None] = lambda folder, step: None,
    ) -> None:
        self.workspace = Workspace(root=place / "work")
        self.store = FolderStore(place / "store")
        self.told: list[int] = []
        self.failures: list[tuple[int, str]] = []
        self.uploader = CheckpointUploader(
            self.store,
            self.workspace,
            Writer(attempt=1, node=node, nodes=nodes),
            keep=None,
            last_step=lambda: 8,
            on_complete=self.told.append,
            on_failure=lambda step, message: self.failures.append((step, message)),
            also=also,
        )

    def save(self, step: int) -> None:
        a_folder(self.workspace.saved_checkpoint(step), {"optimizer.pt": b"moments"})


def test_a_checkpoint_is_uploaded_while_training_continues(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    uploads.uploader.start()

    uploads.save(2)

    wait_until_told(uploads, 2)
    wait_for(lambda: uploads.workspace.saved_steps() == [])
    uploads.uploader.finish(with_last_step=False)


def wait_until_told(uploads: Uploads, *steps: int) -> None:
    deadline = time.monotonic() + 10
    while uploads.told != list(steps) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert uploads.told == list(steps)


def test_a_checkpoint_is_uploaded_although_the_push_to_the_hub_fails(tmp_path: Path) -> None:
    def refuse(folder: Path, step: int) -> None:
        raise OSError("no more links")

    uploads = Uploads(tmp_path, also=refuse)
    uploads.uploader.start()

    uploads.save(2)

    wait_until_told(uploads, 2)
    uploads.uploader.finish(with_last_step=False)


def test_an_unreadable_checkpoint_does_not_block_later_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    uploads = Uploads(tmp_path)
    damaged = uploads.workspace.saved_checkpoint(2)
    a_folder(damaged, {"trainer_state.json": b"{"})
    uploads.uploader.start()
    wait_until_warned(caplog)

    uploads.save(4)

    wait_until_told(uploads, 4)
    uploads.uploader.finish(with_last_step=False)


def wait_until_warned(caplog: pytest.LogCaptureFixture) -> None:
    deadline = time.monotonic() + 10
    while not caplog.records and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "checkpoints not uploaded" in caplog.text


def test_a_pending_checkpoint_is_uploaded_before_the_end(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    uploads.save(6)
    uploads.uploader.start()

    uploads.uploader.finish(with_last_step=False)

    assert uploads.told == [6]


def test_the_checkpoint_of_the_last_step_is_held_back_for_the_artifact(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    uploads.save(8)
    uploads.uploader.start()

    uploads.uploader.finish(with_last_step=False)

    assert uploads.told == []


def test_the_checkpoint_of_the_last_step_is_uploaded_if_there_is_no_artifact(
    tmp_path: Path,
) -> None:
    uploads = Uploads(tmp_path)
    uploads.save(8)
    uploads.uploader.start()

    uploads.uploader.finish(with_last_step=True)

    assert uploads.told == [8]


def test_each_of_several_nodes_uploads_its_part_of_the_last_checkpoint_unconditionally(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "MANIFEST_TIMEOUT_SECONDS", 0)
    uploads = Uploads(tmp_path, node=1, nodes=2)
    uploads.save(8)
    uploads.uploader.start()

    uploads.uploader.finish(with_last_step=False)

    assert "checkpoints/step-00000008/attempt-1/part-1.json" in uploads.store.sizes()


def test_holding_back_the_last_checkpoint_does_not_hold_back_the_previous_one(
    tmp_path: Path,
) -> None:
    uploads = Uploads(tmp_path)
    uploads.save(6)
    uploads.save(8)
    uploads.uploader.start()

    uploads.uploader.finish(with_last_step=False)

    assert uploads.told == [6]


def test_only_the_newest_checkpoint_is_uploaded_if_uploads_lag_behind(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    for step in (2, 4, 6):
        uploads.save(step)
    uploads.uploader.start()

    uploads.uploader.finish(with_last_step=False)

    assert uploads.told == [6]


def test_a_draft_is_not_a_checkpoint(tmp_path: Path) -> None:
    workspace = Workspace(root=tmp_path)
    a_folder(workspace.saved / ".step-4", {"optimizer.pt": b""})

    assert workspace.saved_steps() == []


def test_the_best_checkpoint_is_uploaded_too_if_uploads_lag_behind(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    for step in (2, 4):
        uploads.save(step)
    state = {"trainer_state.json": b'{"best_global_step": 2}'}
    a_folder(uploads.workspace.saved_checkpoint(6), state)
    uploads.uploader.start()

    uploads.uploader.finish(with_last_step=False)

    assert uploads.told == [2, 6]


def test_an_upload_that_takes_too_long_is_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = Uploads(tmp_path)
    uploads.save(6)
    is_over = threading.Event()
    monkeypatch.setattr(checkpoints, "write", lambda *_: is_over.wait(60))
    uploads.uploader.start()

    uploads.uploader.finish(with_last_step=True, is_late=lambda: True)

    assert uploads.told == []
    is_over.set()
    # Its thread must not survive into the next test.
    uploads.uploader.finish(with_last_step=True)


class BrokenStore:
    """A fake: `checkpoints.write` while the store is unreachable, and after."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
        self.error: BaseException | None = error
        self.tries: list[int] = []
        self._write = checkpoints.write
        monkeypatch.setattr(checkpoints, "write", self.write)

    def write(self, store: FolderStore, folder: Path, step: int, writer: Writer) -> bool:
        self.tries.append(step)
        if self.error is not None:
            raise self.error
        return self._write(store, folder, step, writer)


class PanicException(BaseException):
    """A fake of a Rust library's panic."""


ERRORS = [
    Reason.STORE_BUSY.failure("s3://models: SlowDown", "wait"),
    OSError("no route to host"),
    ValueError("unforeseen"),
    PanicException("called unwrap"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda it: type(it).__name__)
def test_a_failed_upload_is_reported_and_retried_once_at_the_end(
    error: Failure | BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised = AttemptFailed(error) if isinstance(error, Failure) else error
    store = BrokenStore(monkeypatch, raised)
    uploads = Uploads(tmp_path)
    uploads.save(2)
    uploads.uploader.start()
    wait_for(lambda: uploads.failures)

    assert uploads.workspace.saved_steps() == [2]
    assert uploads.failures[0][0] == 2
    assert str(raised) in uploads.failures[0][1]
    assert store.tries == [2]
    store.error = None
    uploads.uploader.finish(with_last_step=False)

    assert uploads.told == [2]
    assert uploads.workspace.saved_steps() == []


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


def test_a_failed_upload_is_retried_while_training_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "RETRY_SECONDS", 0.1)
    store = BrokenStore(monkeypatch, OSError("no route to host"))
    uploads = Uploads(tmp_path)
    uploads.save(2)
    uploads.uploader.start()
    wait_for(lambda: len(store.tries) >= 2)
    store.error = None

    wait_until_told(uploads, 2)
    uploads.uploader.finish(with_last_step=False)


def test_a_newer_checkpoint_replaces_one_that_cannot_be_uploaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = BrokenStore(monkeypatch, OSError("no route to host"))
    uploads = Uploads(tmp_path)
    uploads.save(2)
    uploads.uploader.start()
    wait_for(lambda: uploads.failures)

    uploads.save(4)
    wait_for(lambda: len(uploads.failures) == 2)

    assert uploads.workspace.saved_steps() == [4]
    store.error = None
    uploads.uploader.finish(with_last_step=False)
    assert uploads.told == [4]


def test_a_failed_upload_is_not_kept_without_disk_space_for_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=1)
    monkeypatch.setattr(upload.shutil, "disk_usage", lambda place: full)
    BrokenStore(monkeypatch, OSError("no route to host"))
    uploads = Uploads(tmp_path)
    uploads.save(2)
    uploads.uploader.start()
    wait_for(lambda: uploads.failures)
    uploads.uploader.finish(with_last_step=False)

    assert uploads.workspace.saved_steps() == []
    assert "disk is full" in uploads.failures[0][1]


def test_each_of_several_nodes_tries_every_checkpoint_once_and_retries_only_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = BrokenStore(monkeypatch, OSError("no route to host"))
    uploads = Uploads(tmp_path, node=1, nodes=2)
    for step in (2, 4):
        uploads.save(step)
    uploads.uploader.start()
    wait_for(lambda: len(uploads.failures) == 2)

    uploads.uploader.finish(with_last_step=False)

    # The uploader may have retried the newest by itself.
    assert store.tries[:2] == [2, 4]
    assert {*store.tries[2:]} == {4}


def test_a_checkpoint_without_the_other_nodes_parts_is_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "PART_TIMEOUT_SECONDS", 0)
    uploads = Uploads(tmp_path, node=0, nodes=2)
    uploads.save(2)
    uploads.uploader.start()
    wait_for(lambda: uploads.failures)
    other = Uploads(tmp_path, node=1, nodes=2)
    a_folder(tmp_path / "part", {"random.pt": b"1"})
    monkeypatch.setattr(checkpoints, "MANIFEST_TIMEOUT_SECONDS", 0)
    checkpoints.write(other.store, tmp_path / "part", 2, Writer(attempt=1, node=1, nodes=2))

    uploads.uploader.finish(with_last_step=False)

    assert uploads.told == [2]


def test_the_last_saved_step_is_reported_until_a_later_one_is_uploaded(tmp_path: Path) -> None:
    reporter = Reporter(Workspace(root=tmp_path), silent, 1, attempt=1)
    reporter.note_checkpoint(2)
    reporter.note_unsaved(4, "the store is busy")
    reporter.note_unsaved(6, "the store is full")

    told = reporter.current()
    assert told.checkpoint_step == 2
    assert told.unsaved == Unsaved(step=6, seconds=0, message="the store is full")
    assert Progress.from_body(told.to_body()).unsaved == told.unsaved
    reporter.note_checkpoint(4)
    assert reporter.current().unsaved is not None
    reporter.note_checkpoint(6)
    assert reporter.current().unsaved is None
