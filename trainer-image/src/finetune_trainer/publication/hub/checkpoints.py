# SPDX-License-Identifier: Apache-2.0
"""Pushes checkpoints to the hub during training, as transformers does for `hub_strategy`.

every_save        the weights of each checkpoint, replacing the previous ones
checkpoint        and the complete checkpoint below last-checkpoint/
all_checkpoints   and each checkpoint below checkpoint-N/
end               nothing before the end
"""

import logging
import os
import shutil
import threading
from pathlib import Path

from finetune_trainer.exchange.workspace import TRAINING_ARGUMENTS
from finetune_trainer.failures.errors import AttemptFailed, Interrupted
from finetune_trainer.publication.artifact import name_base_model
from finetune_trainer.publication.base_model import BaseModel
from finetune_trainer.publication.hub import destination
from finetune_trainer.publication.hub.client import HubClient

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2

STATE = (
    *("optimizer*", "scheduler.pt", "scaler.pt", "rng_state*", "trainer_state.json"),
    *("global_step*", "latest", "zero_to_fp32.py", "pytorch_model_fsdp*"),
)
"""The files of a checkpoint other than the model."""

NEVER = (TRAINING_ARGUMENTS, "README.md")
"""PEFT's card contains a path of this work directory; the artifact has a better one."""


class CheckpointPusher:
    """Pushes checkpoints in a thread of its own, so that nothing waits for the hub."""

    def __init__(self, hub: HubClient | None, folder: Path, base: BaseModel) -> None:
        """`hub` is None if nothing must be pushed; links are created in `folder`."""
        self._hub = hub
        self._folder = folder
        self._base = base
        self._pushes: list[threading.Thread] = []

    def offer(self, checkpoint: Path, step: int) -> None:
        """Pushes this checkpoint, unless an earlier push is still running."""
        if (hub := self._hub) is None or hub.destination.strategy == destination.END:
            return
        if self._is_busy() and not hub.destination.always_push:
            log.info("hub push skipped, another is running step=%d", step)
            return
        copy = self._folder / f"checkpoint-{step}"
        shutil.rmtree(copy, ignore_errors=True)
        # Links outlive the checkpoint, which is deleted once it is in the object store.
        shutil.copytree(checkpoint, copy, copy_function=os.link)
        name_base_model(copy, self._base)
        push = threading.Thread(target=self._push, args=(hub, copy, step), name="hub", daemon=True)
        push.start()
        self._pushes.append(push)

    def finish(self) -> None:
        """Waits for the running push: two concurrent commits would conflict. A stop ends the wait,
        because the object store has everything that is needed to resume.
        """
        while self._is_busy() and self._hub is not None and not self._hub.is_stopping:
            for push in self._pushes:
                push.join(POLL_SECONDS)

    def _is_busy(self) -> bool:
        return any(push.is_alive() for push in self._pushes)

    def _push(self, hub: HubClient, folder: Path, step: int) -> None:
        message = f"Training in progress, step {step}"
        places = {
            destination.CHECKPOINT: "last-checkpoint",
            destination.ALL_CHECKPOINTS: f"checkpoint-{step}",
        }
        try:
            hub.push(folder, message, without=(*STATE, *NEVER))
            if (below := places.get(hub.destination.strategy)) is not None:
                hub.push(folder, f"{message}, checkpoint", below=below, without=NEVER)
        except (AttemptFailed, Interrupted) as error:
            # Training continues, and at its end the artifact is pushed.
            log.warning("checkpoint not pushed step=%d error=%s", step, error)
        else:
            log.info("checkpoint pushed step=%d", step)
        shutil.rmtree(folder, ignore_errors=True)
