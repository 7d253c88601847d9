# SPDX-License-Identifier: Apache-2.0
"""Hands checkpoints to the supervisor during training."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch.distributed as dist
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_trainer.exchange.workspace import TRAINING_ARGUMENTS, Workspace
from finetune_trainer.ranks.callbacks.progress import LOCAL_RANK


class CheckpointHandover(TrainerCallback):
    """Hands each finished checkpoint to this node's supervisor, which uploads it in parallel."""

    def __init__(self, workspace: Workspace, *, resumed_from_step: int = 0) -> None:
        self._workspace = workspace
        self._handed_over = resumed_from_step

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if dist.is_initialized():
            # The other ranks' files (random states, shards) belong to it too.
            dist.barrier()
        if LOCAL_RANK != 0 or self._handed_over == state.global_step:
            # A checkpoint may be uploading after it was handed over, and never changes.
            return
        self._handed_over = state.global_step
        source = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        target = self._workspace.saved_checkpoint(state.global_step)
        draft = target.with_name(f".{target.name}")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(target, ignore_errors=True)
        # Links cost nothing and outlive the trainer's own rotation (`save_total_limit`).
        shutil.copytree(
            source, draft, copy_function=os.link, ignore=shutil.ignore_patterns(TRAINING_ARGUMENTS)
        )
        draft.rename(target)
