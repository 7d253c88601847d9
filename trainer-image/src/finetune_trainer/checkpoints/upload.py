# SPDX-License-Identifier: Apache-2.0
"""Uploads checkpoints in a thread during training.

A checkpoint that could not be uploaded is kept and retried, at growing intervals and once more at
the end, until a newer one replaces it or the node has no room for both.
"""

import logging
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from finetune_trainer.checkpoints import checkpoints
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.storage.store import Store

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
RETRY_SECONDS = 60.0
LONGEST_RETRY_SECONDS = 600.0
ROOM = 2
"""A failed checkpoint is kept while the disk has room for this many more of its size: the next one,
and an artifact.
"""


@dataclass(frozen=True, slots=True)
class _Failed:
    """The next try of a checkpoint that could not be uploaded."""

    due: float
    pause: float


class CheckpointUploader:
    """Accepts the ranks' checkpoints and uploads them, oldest first.

    The checkpoint of the last step is held back: the artifact contains the same tensors and is
    published next. It is uploaded if the attempt ends before that. One of several nodes cannot know
    how the first one ends, so it uploads immediately: without its part the others' parts are
    useless.
    """

    def __init__(
        self,
        store: Store,
        workspace: Workspace,
        writer: checkpoints.Writer,
        *,
        keep: int | None,
        last_step: Callable[[], int | None],
        on_complete: Callable[[int], None],
        on_failure: Callable[[int, str], None] = lambda step, message: None,
        also: Callable[[Path, int], None] = lambda folder, step: None,
    ) -> None:
        self._store = store
        self._workspace = workspace
        self._writer = writer
        self._keep = keep
        self._last_step = last_step
        self._on_complete = on_complete
        self._on_failure = on_failure
        self._failed: dict[int, _Failed] = {}
        self._also = also
        self._closing = threading.Event()
        self._is_last_wanted = False
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self, *, with_last_step: bool, is_late: Callable[[], bool] = bool) -> None:
        """Uploads the waiting checkpoints, then ends; uploads that are too late stay incomplete."""
        self._is_last_wanted = with_last_step
        self._closing.set()
        while self._thread.is_alive() and not is_late():
            self._thread.join(POLL_SECONDS)
        if self._thread.is_alive():
            log.warning("there was no time left to upload the newest checkpoint")

    def _run(self) -> None:
        while not self._closing.wait(POLL_SECONDS):
            self._take_over(with_last_step=False)
        self._take_over(with_last_step=self._is_last_wanted)

    def _take_over(self, *, with_last_step: bool) -> None:
        try:
            for step in self._pending(with_last_step=with_last_step):
                self._upload(step)
        except BaseException:
            # Any error: without this thread no later checkpoint would be saved either.
            log.exception("checkpoints not uploaded")

    def _pending(self, *, with_last_step: bool) -> list[int]:
        saved = self._workspace.saved_steps()
        if self._writer.nodes == 1 and not with_last_step:
            last_step = self._last_step()
            saved = [step for step in saved if step != last_step]
        if not any(map(self._is_due, saved)):
            return []
        # If uploads fall behind, only the newest and the best are worth it.
        wanted = {*saved[-1:], *(self._best_step(step) for step in saved[-1:])}
        for step in saved:
            # Nodes must choose the same ones, so each of several tries every checkpoint once.
            is_untried = self._writer.nodes > 1 and step not in self._failed
            if step not in wanted and not is_untried:
                self._remove(step)
        return [
            step for step in self._workspace.saved_steps() if step in saved and self._is_due(step)
        ]

    def _is_due(self, step: int) -> bool:
        failed = self._failed.get(step)
        return failed is None or self._closing.is_set() or time.monotonic() >= failed.due

    def _best_step(self, step: int) -> int | None:
        return checkpoints.best_step(self._workspace.saved_checkpoint(step))

    def _upload(self, step: int) -> None:
        folder = self._workspace.saved_checkpoint(step)
        if step not in self._failed:
            try:
                self._also(folder, step)
            except OSError as error:
                log.warning("checkpoint not queued step=%d error=%s", step, error)
        try:
            is_complete = checkpoints.write(self._store, folder, step, self._writer)
            if is_complete:
                self._on_complete(step)
            if is_complete and self._writer.node == 0:
                checkpoints.prune(self._store, self._keep, self._best_step(step))
        except (AttemptFailed, OSError) as error:
            # Training continues: the next try may succeed, and publishing reports the error.
            log.warning("checkpoint not uploaded step=%d error=%s", step, error)
            self._keep_failed(step, str(error))
        except BaseException as error:
            log.exception("checkpoint not uploaded step=%d", step)
            self._keep_failed(step, f"{type(error).__name__}: {error}")
        else:
            log.info("checkpoint uploaded step=%d complete=%s", step, is_complete)
            if not is_complete and self._writer.node == 0:
                self._keep_failed(step, "the parts of the other nodes did not arrive in the store")
            else:
                self._remove(step)

    def _keep_failed(self, step: int, message: str) -> None:
        """Keeps it for another try, unless the node has no room for it."""
        folder = self._workspace.saved_checkpoint(step)
        if not _has_room(folder):
            log.warning("checkpoint removed step=%d: the disk is full", step)
            self._remove(step)
            message = f"{message}; it was removed because the node's disk is full"
        else:
            before = self._failed.get(step)
            pause = RETRY_SECONDS if before is None else before.pause * 2
            pause = min(pause, LONGEST_RETRY_SECONDS)
            self._failed[step] = _Failed(time.monotonic() + pause, pause)
        self._on_failure(step, message)

    def _remove(self, step: int) -> None:
        self._failed.pop(step, None)
        shutil.rmtree(self._workspace.saved_checkpoint(step), ignore_errors=True)


def _has_room(folder: Path) -> bool:
    try:
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return shutil.disk_usage(folder).free >= ROOM * size
    except OSError:
        return False
