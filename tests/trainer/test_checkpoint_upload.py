# SPDX-License-Identifier: Apache-2.0
"""Uploading what the ranks hand over, while they go on."""

import time
from pathlib import Path

from finetune_trainer.checkpoint_upload import CheckpointUploader
from finetune_trainer.checkpoints import Writer
from finetune_trainer.storage.folder import FolderStore
from finetune_trainer.workspace import Workspace
from trainer.runs import a_folder


class Uploads:
    """An uploader with its store, its work folder and what it told."""

    def __init__(self, place: Path, *, nodes: int = 1) -> None:
        self.workspace = Workspace(root=place / "work")
        self.store = FolderStore(place / "store")
        self.told: list[int] = []
        self.uploader = CheckpointUploader(
            self.store,
            self.workspace,
            Writer(attempt=1, node=0, nodes=nodes),
            keep=None,
            last_step=lambda: 8,
            on_complete=self.told.append,
        )

    def save(self, step: int) -> None:
        a_folder(self.workspace.saved_checkpoint(step), {"optimizer.pt": b"moments"})


def test_a_checkpoint_goes_up_while_training_goes_on(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    uploads.uploader.start()

    uploads.save(2)

    deadline = time.monotonic() + 10
    while not uploads.told and time.monotonic() < deadline:
        time.sleep(0.05)
    assert uploads.told == [2]
    assert uploads.workspace.saved_steps() == []
    uploads.uploader.finish(with_last_step=False)


def test_what_waits_at_the_end_is_uploaded_before_it_ends(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    uploads.save(6)
    uploads.uploader.start()

    uploads.uploader.finish(with_last_step=False)

    assert uploads.told == [6]


def test_the_last_steps_checkpoint_is_held_back_for_the_artifact(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    uploads.save(8)
    uploads.uploader.start()

    uploads.uploader.finish(with_last_step=False)

    assert uploads.told == []


def test_the_last_steps_checkpoint_goes_up_when_the_artifact_will_not(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    uploads.save(8)
    uploads.uploader.start()

    uploads.uploader.finish(with_last_step=True)

    assert uploads.told == [8]


def test_holding_back_the_last_one_does_not_hold_back_the_one_before(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    uploads.save(6)
    uploads.save(8)
    uploads.uploader.start()

    uploads.uploader.finish(with_last_step=False)

    assert uploads.told == [6]


def test_only_the_newest_goes_up_when_uploading_lags_behind(tmp_path: Path) -> None:
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
