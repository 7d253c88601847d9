# SPDX-License-Identifier: Apache-2.0
"""Uploads checkpoints in a thread while training goes on."""

import logging
import shutil
import threading
from collections.abc import Callable

from finetune_trainer import checkpoints
from finetune_trainer.failures import AttemptFailed
from finetune_trainer.storage.store import Store
from finetune_trainer.workspace import Workspace

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5


class CheckpointUploader:
    """Takes what the ranks hand over, oldest first, and uploads it.

    The checkpoint of the last step is held back: the artifact holds the same tensors and is
    published next. It goes up after all when the attempt ends before that.
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
    ) -> None:
        self._store = store
        self._workspace = workspace
        self._writer = writer
        self._keep = keep
        self._last_step = last_step
        self._on_complete = on_complete
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self, *, with_last_step: bool) -> None:
        """Upload what waits, then end."""
        self._closing.set()
        self._thread.join()
        for step in self._pending(with_last_step=with_last_step):
            self._upload(step)

    def _run(self) -> None:
        while not self._closing.wait(POLL_SECONDS):
            for step in self._pending(with_last_step=False):
                self._upload(step)

    def _pending(self, *, with_last_step: bool) -> list[int]:
        last_step = None if with_last_step else self._last_step()
        steps = [step for step in self._workspace.saved_steps() if step != last_step]
        if self._writer.nodes > 1:
            # Nodes must not choose differently, so they take every one.
            return steps
        # Where uploading lags behind, only the newest is worth it.
        for step in steps[:-1]:
            shutil.rmtree(self._workspace.saved_checkpoint(step))
        return steps[-1:]

    def _upload(self, step: int) -> None:
        folder = self._workspace.saved_checkpoint(step)
        try:
            is_complete = checkpoints.write(self._store, folder, step, self._writer)
            if is_complete:
                self._on_complete(step)
            if is_complete and self._writer.node == 0:
                checkpoints.prune(self._store, self._keep)
        except (AttemptFailed, ConnectionError, OSError) as error:
            # Training goes on: the next checkpoint may get through, and publishing will tell.
            log.warning("checkpoint not uploaded step=%d error=%s", step, error)
        else:
            log.info("checkpoint uploaded step=%d complete=%s", step, is_complete)
        shutil.rmtree(folder, ignore_errors=True)
