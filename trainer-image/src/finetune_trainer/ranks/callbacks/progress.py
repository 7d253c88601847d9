# SPDX-License-Identifier: Apache-2.0
"""Records progress: log records, and the current state of training."""

import json
import os
import time
from collections.abc import Mapping
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_contract.progress import GpuMemory, Progress, TrainerPhase
from finetune_trainer.exchange.history import evaluated
from finetune_trainer.exchange.workspace import Workspace, write_atomically

LOCAL_RANK = int(os.environ.get("LOCAL_RANK", "0"))


class DoingRecorder:
    """Writes the activity before the first step into this node's `progress.json`."""

    MIN_SECONDS = 1.0
    """Between two writes."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._written = 0.0

    def tell(self, words: str) -> None:
        if time.monotonic() - self._written >= self.MIN_SECONDS:
            self._written = time.monotonic()
            # Not training yet: a stop now loses nothing.
            body = Progress(phase=TrainerPhase.CHECKING, doing=words).to_body()
            write_atomically(self._workspace.progress, body)


class ProgressRecorder(TrainerCallback):
    """Writes each log record into rank 0's `metrics.jsonl`, and the current state into every node's
    `progress.json`, because every node's supervisor reports for itself.
    """

    MIN_SECONDS = 0.5
    """Between two writes, so that fast steps are not slowed."""

    def __init__(self, workspace: Workspace, *, resumed_from_step: int) -> None:
        self._workspace = workspace
        self._first_step = resumed_from_step
        self._latest: dict[str, Any] = {}
        self._evaluated: dict[str, float] = {}
        self._base_eval_loss: float | None = None
        self._began = self._written = 0.0
        self._tokens = 0
        self._tokens_at = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._began = self._tokens_at = time.monotonic()
        for record in state.log_history:
            self._note(record)
            self._tokens = int(record.get("num_tokens", self._tokens))
        if state.is_world_process_zero:
            # After a resume the history continues after the checkpoint's.
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
        self._note({**logs, "step": state.global_step})
        now = time.monotonic()
        tokens = logs.get("num_tokens", self._tokens)
        if tokens < self._tokens:
            # The trainer starts counting at zero again after a resume.
            self._tokens = 0
        if tokens > self._tokens:
            self._latest["tokens_per_second"] = (tokens - self._tokens) / (now - self._tokens_at)
            self._tokens, self._tokens_at = int(tokens), now
        self._write(args, state)

    def _note(self, record: Mapping[str, Any]) -> None:
        if found := evaluated(record):
            self._evaluated = found
        if record.get("step") == 0 and "eval_loss" in record:
            self._base_eval_loss = record["eval_loss"]
        else:
            self._latest.update(record)

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
            base_eval_loss=self._base_eval_loss,
            metrics={k: v for k, v in self._evaluated.items() if k != "eval_loss"},
            learning_rate=self._latest.get("learning_rate"),
            tokens_per_second=self._latest.get("tokens_per_second"),
            eta_seconds=self._eta(state),
            resumed_from_step=self._first_step,
            world_size=args.world_size,
            memory=GpuMemory(peak_bytes=_peak_memory()),
        )
        write_atomically(self._workspace.progress, progress.to_body())

    def _eta(self, state: TrainerState) -> int | None:
        """From the steps of this attempt only: those before a resume took none of its time."""
        if state.global_step >= state.max_steps:
            return 0
        taken = state.global_step - self._first_step
        if taken <= 0:
            return None
        seconds_per_step = (time.monotonic() - self._began) / taken
        return round(seconds_per_step * max(0, state.max_steps - state.global_step))


def _peak_memory() -> int | None:
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
