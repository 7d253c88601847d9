# SPDX-License-Identifier: Apache-2.0
"""Uploads checkpoints in a thread while training goes on."""

import logging
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from finetune_trainer.checkpoints import checkpoints
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.storage.store import Store

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5


class CheckpointUploader:
    """Takes what the ranks hand over, oldest first, and uploads it.

    The checkpoint of the last step is held back: the artifact holds the same tensors and is
    published next. It goes up after all when the attempt ends before that. Of several nodes none
    knows how the first one ends, so it goes up at once: without its part no other's is of use.
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
        also: Callable[[Path, int], None] = lambda folder, step: None,
    ) -> None:
        self._store = store
        self._workspace = workspace
        self._writer = writer
        self._keep = keep
        self._last_step = last_step
        self._on_complete = on_complete
        self._also = also
        self._closing = threading.Event()
        self._is_last_wanted = False
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self, *, with_last_step: bool, is_late: Callable[[], bool] = bool) -> None:
        """Upload what waits, then end; what is not up when it gets late is left half-written."""
        self._is_last_wanted = with_last_step
        self._closing.set()
        while self._thread.is_alive() and not is_late():
            self._thread.join(POLL_SECONDS)
        if self._thread.is_alive():
            log.warning("no time is left to upload the newest checkpoint")

    def _run(self) -> None:
        while not self._closing.wait(POLL_SECONDS):
            self._take_over(with_last_step=False)
        self._take_over(with_last_step=self._is_last_wanted)

    def _take_over(self, *, with_last_step: bool) -> None:
        try:
            for step in self._pending(with_last_step=with_last_step):
                self._upload(step)
        except Exception:
            # Whatever it was: without this thread no later checkpoint would be saved either.
            log.exception("checkpoints not uploaded")

    def _pending(self, *, with_last_step: bool) -> list[int]:
        if self._writer.nodes > 1:
            # Nodes must not choose differently, so they take every one.
            return self._workspace.saved_steps()
        last_step = None if with_last_step else self._last_step()
        steps = [step for step in self._workspace.saved_steps() if step != last_step]
        # Where uploading lags behind, only the newest is worth it, and the best.
        wanted = {*steps[-1:], *(self._best_step(step) for step in steps[-1:])}
        for step in steps:
            if step not in wanted:
                shutil.rmtree(self._workspace.saved_checkpoint(step), ignore_errors=True)
        return [step for step in steps if step in wanted]

    def _best_step(self, step: int) -> int | None:
        return checkpoints.best_step(self._workspace.saved_checkpoint(step))

    def _upload(self, step: int) -> None:
        folder = self._workspace.saved_checkpoint(step)
        try:
            self._also(folder, step)
        except OSError as error:
            log.warning("checkpoint not handed on step=%d error=%s", step, error)
        try:
            is_complete = checkpoints.write(self._store, folder, step, self._writer)
            if is_complete:
                self._on_complete(step)
            if is_complete and self._writer.node == 0:
                checkpoints.prune(self._store, self._keep, self._best_step(step))
        except (AttemptFailed, OSError) as error:
            # Training goes on: the next checkpoint may get through, and publishing will tell.
            log.warning("checkpoint not uploaded step=%d error=%s", step, error)
        else:
            log.info("checkpoint uploaded step=%d complete=%s", step, is_complete)
        shutil.rmtree(folder, ignore_errors=True)
