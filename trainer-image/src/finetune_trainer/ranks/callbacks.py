# SPDX-License-Identifier: Apache-2.0
"""What the trainer's loop calls: progress, stopping at a step, handing over checkpoints."""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_contract.progress import Progress, TrainerPhase
from finetune_trainer.history import require_learning
from finetune_trainer.workspace import TRAINING_ARGUMENTS, Workspace, write_atomically

LOCAL_RANK = int(os.environ.get("LOCAL_RANK", "0"))
RECORDS_BEFORE_JUDGING = 5


class ProgressRecorder(TrainerCallback):
    """Each logged record into rank 0's `metrics.jsonl`; where it stands into every node's
    `progress.json`, since every node's supervisor has to account for itself."""

    MIN_SECONDS = 0.5
    """Between two writes, so that fast steps are not slowed."""

    def __init__(self, workspace: Workspace, *, resumed_from_step: int) -> None:
        self._workspace = workspace
        self._first_step = resumed_from_step
        self._latest: dict[str, Any] = {}
        self._began = self._written = 0.0
        self._tokens = 0
        self._tokens_at = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._began = self._tokens_at = time.monotonic()
        for record in state.log_history:
            self._latest.update(record)
        if state.is_world_process_zero:
            # After a resume the history goes on where the checkpoint's ended.
            lines = [json.dumps(record) + "\n" for record in state.log_history]
            write_atomically(self._workspace.metrics, "".join(lines))
        self._write(args, state)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if time.monotonic() - self._written >= self.MIN_SECONDS:
            self._write(args, state)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        if logs is None:
            return
        if state.is_world_process_zero:
            with self._workspace.metrics.open("a") as file:
                file.write(json.dumps({**logs, "step": state.global_step}) + "\n")
        self._latest.update(logs)
        now = time.monotonic()
        tokens = logs.get("num_tokens", self._tokens)
        if tokens > self._tokens:
            self._latest["tokens_per_second"] = (tokens - self._tokens) / (now - self._tokens_at)
            self._tokens, self._tokens_at = int(tokens), now
        self._write(args, state)

    def _write(self, args: TrainingArguments, state: TrainerState) -> None:
        if LOCAL_RANK != 0:
            return
        self._written = time.monotonic()
        progress = Progress(
            phase=TrainerPhase.TRAINING,
            step=state.global_step,
            total_steps=state.max_steps,
            epoch=state.epoch,
            loss=self._latest.get("loss"),
            eval_loss=self._latest.get("eval_loss"),
            learning_rate=self._latest.get("learning_rate"),
            tokens_per_second=self._latest.get("tokens_per_second"),
            eta_seconds=self._eta(state),
            resumed_from_step=self._first_step,
            world_size=args.world_size,
            peak_memory_bytes=_peak_memory(),
        )
        write_atomically(self._workspace.progress, progress.to_body())

    def _eta(self, state: TrainerState) -> int | None:
        """From the steps of this attempt alone: those before a resume took no time of it."""
        if state.global_step >= state.max_steps:
            return 0
        taken = state.global_step - self._first_step
        if taken <= 0:
            return None
        seconds_per_step = (time.monotonic() - self._began) / taken
        return round(seconds_per_step * max(0, state.max_steps - state.global_step))


class StopAtBoundary(TrainerCallback):
    """When asked to stop, all ranks save at the same step and end there."""

    def __init__(self, stop_file: Path) -> None:
        self._stop_file = stop_file
        self.has_stopped = False

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.global_step >= state.max_steps or not self._is_agreed(args):
            return
        self.has_stopped = True
        control.should_save = True
        control.should_training_stop = True
        control.should_evaluate = False

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self.has_stopped:
            # The step's end has saved already, and there is no time for an evaluation.
            control.should_save = False
            control.should_evaluate = False

    def _is_agreed(self, args: TrainingArguments) -> bool:
        """Whether any rank was asked; all ranks get the same answer at the same step."""
        is_asked = self._stop_file.exists()
        if not dist.is_initialized() or dist.get_world_size() == 1:
            return is_asked
        asked = torch.tensor([int(is_asked)], device=args.device)
        dist.all_reduce(asked, op=dist.ReduceOp.MAX)
        return bool(asked.item())


class CheckpointHandover(TrainerCallback):
    """Hands each finished checkpoint to this node's supervisor, which uploads it meanwhile."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if dist.is_initialized():
            # The other ranks' files (random states, shards) belong to it too.
            dist.barrier()
        if LOCAL_RANK != 0:
            return
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


class LearningGuard(TrainerCallback):
    """Ends a run that learns nothing after a few records, not after days."""

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        records = [record for record in state.log_history if "loss" in record]
        if len(records) == RECORDS_BEFORE_JUDGING:
            require_learning(records)


def _peak_memory() -> int | None:
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
