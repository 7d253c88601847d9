# SPDX-License-Identifier: Apache-2.0
"""Runs that differ only in the number of processes, and in their strategy."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from finetune_trainer.checkpoints import checkpoints
from finetune_trainer.plan.parsed_run import parse_run
from finetune_trainer.plan.topology import topology_of
from finetune_trainer.storage.folder import FolderStore
from trainer.in_process import Trained, a_run
from trainer.two_ranks import TwoRanks

STEPS = 5
"""Steps of two rows each: two and a half epochs, so that step 3 is in the middle of one."""
WHOLE = {"use_peft": False, "lora_r": None, "max_steps": STEPS}
ADAPTER = {"max_steps": STEPS, "lora_dropout": 0.0}
STOP = 3


class Lab:
    """Runs with the same model and data, which differ only in a test's subject."""

    def __init__(self, ranks: TwoRanks, place: Path, model: Path, data: Path) -> None:
        self._ranks, self._place, self._model, self._data = ranks, place, model, data

    def train(
        self,
        *,
        processes: int,
        attempt: int = 1,
        before: Callable[[], None] | None = None,
        **config: Any,
    ) -> Trained:
        config = {"per_device_train_batch_size": 2 // processes, **config}
        run = a_run(self._place, self._model, self._data, **config)
        run = replace(run, attempt=attempt)
        return self._ranks.train(run, self._place, processes=processes, before=before)

    def beside(self, name: str) -> "Lab":
        """For other runs, with separate locations."""
        place = self._place / name
        place.mkdir()
        return Lab(self._ranks, place, self._model, self._data)

    def forget_the_end(self, trained: Trained, *, at: int = STOP) -> None:
        """Reduces a finished run to the state after an attempt that was killed after this step: the
        checkpoint of the last step is uploaded only if the artifact is not.
        """
        if at == STEPS:
            facts = topology_of(parse_run(trained.run).config, trained.run.world).to_facts()
            writer = checkpoints.Writer(attempt=1, node=0, nodes=1, facts=facts)
            folder = trained.workspace.saved_checkpoint(at)
            checkpoints.write(FolderStore(trained.published), folder, at, writer)
        (trained.published.parent / "latest.json").unlink()
        for path in trained.published.iterdir():
            if path.name != "checkpoints":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
