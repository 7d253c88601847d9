# SPDX-License-Identifier: Apache-2.0
"""TRL's trainer, which continues after a resume exactly as if it had never been stopped.

transformers' checkpoints contain weights, optimizer, schedule and random states. This adds the
missing parts: the random states that determine the epoch's order, the position in a stream, the
sums for the next logged record, and an evaluation that a stop left out.
"""

import json
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from transformers.trainer_callback import TrainerCallback, TrainerState
from transformers.trainer_utils import IntervalStrategy, has_length
from trl import SFTTrainer

from finetune_contract.documents import parse_object
from finetune_trainer.ranks.callbacks.boundary import StepBoundary, StoppedInEvaluation

STATE_FILE = "trainer_state.json"
EPOCH_START = "epoch-start"
"""A directory in the checkpoint: the random states that determine this epoch's order."""


class RunIsOver(Exception):
    """A repeated evaluation after a resume ended the run: early stopping."""


class _IsLoaded(Exception):
    """Everything is loaded that `train` begins with."""


class _EndWhenLoaded(TrainerCallback):
    def on_train_begin(self, *args: Any, **options: Any) -> None:
        raise _IsLoaded


class ResumableTrainer(SFTTrainer):
    """Also measures for how long saving blocks training."""

    _saved_step = 0
    _saving_since: float | None = None
    _checkpoint_seconds = 0.0
    _is_resumed = False
    _is_in_middle = False
    _grad_norm: Any = None
    _learning_rate: float | None = None

    @property
    def _is_stopped(self) -> bool:
        callbacks = self.callback_handler.callbacks
        return any(isinstance(told, StepBoundary) and told.has_stopped for told in callbacks)

    # The contents of a checkpoint in addition to transformers' own.

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self._saving_since = time.monotonic()
        output = Path(self._get_output_dir(trial))
        folder = output / f"checkpoint-{self.state.global_step}"
        if self._saved_step == self.state.global_step:
            # The end of an epoch is also a step's end. Its files may already be uploading, so they
            # are never written again; evaluations since then are repeated after a resume.
            if self.state.best_global_step == self.state.global_step:
                self.state.best_model_checkpoint = str(folder)
            return
        self._saved_step = self.state.global_step
        folder.mkdir(parents=True, exist_ok=True)
        (folder / EPOCH_START).mkdir(exist_ok=True)
        for name in self._own_files("rng_state", ".pth"):
            if (source := output / EPOCH_START / name).is_file():
                shutil.copyfile(source, folder / EPOCH_START / name)
        for name in self._own_files("unlogged", ".json"):
            (folder / name).write_text(json.dumps(self._unlogged()))
        super()._save_checkpoint(model, trial)

    def _own_files(self, stem: str, suffix: str) -> list[str]:
        """This rank's file of that kind, with the same suffix as transformers' random states."""
        if self.args.world_size <= 1:
            return [f"{stem}{suffix}"]
        return [f"{stem}_{self.args.process_index}{suffix}"]

    def _unlogged(self) -> dict[str, Any]:
        """The sums since the last logged record, and internal values of the loop."""
        grad_norm = self._grad_norm
        return {
            "loss": self._tr_loss.item(),
            "last_logged_step": self._globalstep_last_logged,
            "metrics": dict(self._metrics["train"]),
            "tokens": self._total_train_tokens,
            "grad_norm": grad_norm.item() if isinstance(grad_norm, torch.Tensor) else grad_norm,
            "learning_rate": self._learning_rate,
            "is_over": self.control.should_training_stop and not self._is_stopped,
        }

    # Resuming from a checkpoint.

    def _init_training_state(self, max_steps: int, *rest: Any, **options: Any) -> tuple[int, int]:
        epochs, batches = super()._init_training_state(max_steps, *rest, **options)
        if not has_length(self.train_dataset) and not self.args.ignore_data_skip:
            # A stream has no length, so transformers treats it as one endless epoch and would skip
            # more rows than one pass has. Its share of the "epoch" determines the pass and the
            # position in it.
            per_epoch = max_steps * self.args.gradient_accumulation_steps
            epochs = int(self.state.epoch or 0)
            batches = round(((self.state.epoch or 0) - epochs) * per_epoch)
        return epochs, batches

    def _run_epoch(self, *args: Any, **options: Any) -> None:
        checkpoint = options["resume_from_checkpoint"]
        is_first = options["epoch"] == options["epochs_trained"]
        is_in_middle = is_first and options["steps_trained_in_current_epoch"] > 0
        if checkpoint is not None and is_first and is_in_middle:
            super()._load_rng_state(str(Path(checkpoint) / EPOCH_START))
        self._remember_epoch_start()
        if checkpoint is not None and is_first:
            self._take_up_unlogged(Path(checkpoint))
        self._is_in_middle = is_in_middle
        super()._run_epoch(*args, **options)

    def _remember_epoch_start(self) -> None:
        self._save_rng_state(str(Path(self._get_output_dir(None)) / EPOCH_START))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """The loop calls it once, when it has reached the position of the checkpoint."""
        super()._load_rng_state(checkpoint)
        if checkpoint is None or self._is_resumed:
            return
        self._is_resumed = True
        self.make_up()
        if not self._is_in_middle:
            self._remember_epoch_start()
        if self.control.should_training_stop:
            raise RunIsOver

    def _take_up_unlogged(self, checkpoint: Path) -> None:
        unlogged = read_unlogged(checkpoint, self.args.process_index)
        self._globalstep_last_logged = self._saved_step = self.state.global_step
        if unlogged is None:
            return
        self._tr_loss += unlogged["loss"]
        # The mean over this attempt, which transformers logs at its end, is without the earlier
        # ones.
        self._total_loss_scalar -= unlogged["loss"]
        self._globalstep_last_logged = unlogged["last_logged_step"]
        self._metrics["train"].update(unlogged["metrics"])
        self._total_train_tokens = unlogged["tokens"]
        self._grad_norm, self._learning_rate = unlogged["grad_norm"], unlogged["learning_rate"]

    def make_up(self) -> None:
        """Logs and evaluates if this step requires it and the stopped attempt did not do it."""
        is_due = self._is_evaluation_due()
        self.control.should_log = self._is_epoch_over() and (
            self.args.logging_strategy == IntervalStrategy.EPOCH
        )
        self.control.should_evaluate = is_due
        self.control.should_save = False
        super()._maybe_log_save_evaluate(
            self._tr_loss,
            self._grad_norm,
            self.model_wrapped,
            None,
            self.state.epoch,
            None,
            time.time(),
            learning_rate=self._learning_rate,
        )
        best = Path(self._get_output_dir(None)) / f"checkpoint-{self.state.best_global_step}"
        if best.is_dir():
            self.state.best_model_checkpoint = str(best)

    def load_end(self, checkpoint: str, state: TrainerState) -> None:
        """Restores the end of a training, without a step; `train` would take one too many."""
        self._load_from_checkpoint(checkpoint)
        self.state = state
        self._tr_loss = torch.tensor(0.0, device=self.args.device)
        self._total_loss_scalar = 0.0
        self._take_up_unlogged(Path(checkpoint))
        # Progress and history begin here, as they would in the loop that is not entered.
        self.callback_handler.on_train_begin(self.args, state, self.control)
        self.make_up()
        self.take_best()

    def load_sharded_end(self, checkpoint: str) -> None:
        """The same for a sharded model, which only `train` can load."""
        self.add_callback(_EndWhenLoaded())
        with suppress(_IsLoaded):
            self.train(resume_from_checkpoint=checkpoint)
        self._take_up_unlogged(Path(checkpoint))
        self.make_up()
        self.take_best()

    def take_best(self) -> None:
        if self.args.load_best_model_at_end and self.state.best_model_checkpoint is not None:
            self._load_best_model()

    def _is_evaluation_due(self) -> bool:
        step, args = self.state.global_step, self.args
        if any(
            record.get("step") == step and any(name.startswith("eval_") for name in record)
            for record in self.state.log_history
        ):
            return False
        if args.eval_strategy == IntervalStrategy.EPOCH:
            return self._is_epoch_over() and args.eval_delay <= (self.state.epoch or 0)
        if args.eval_strategy == IntervalStrategy.STEPS:
            is_last = step >= self.state.max_steps
            return args.eval_delay <= step and (is_last or step % self.state.eval_steps == 0)
        return False

    def _is_epoch_over(self) -> bool:
        return bool(self.state.epoch) and float(self.state.epoch).is_integer()

    # Stopping during an evaluation.

    def _evaluate(self, *args: Any, **options: Any) -> dict[str, float]:
        if options.get("skip_scheduler") and self.state.global_step > 0:
            return {}  # `eval_on_start`: this is no start, and its record already exists.
        before = Path(self._get_output_dir(None)) / "before-evaluation"
        self._save_rng_state(str(before))
        try:
            return super()._evaluate(*args, **options)
        except StoppedInEvaluation:
            if self.state.global_step == 0:
                raise
            # As if it had not begun: the next attempt repeats it from the same random states.
            super()._load_rng_state(str(before))
            self._metrics["eval"].clear()
            self.control.should_save = self.control.should_training_stop = True
            return {}

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        # True if unknown, because `save_strategy: best` uses it to decide about saving.
        return True if self._is_stopped else super()._determine_best_metric(metrics, trial)

    # How long saving blocks a step.

    def _maybe_log_save_evaluate(
        self, tr_loss: Any, grad_norm: Any, *args: Any, learning_rate: Any = None, **options: Any
    ) -> None:
        self._grad_norm, self._learning_rate = grad_norm, learning_rate
        super()._maybe_log_save_evaluate(
            tr_loss, grad_norm, *args, learning_rate=learning_rate, **options
        )
        if self._saving_since is not None:
            self._checkpoint_seconds += time.monotonic() - self._saving_since
            self._saving_since = None

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if self._checkpoint_seconds and {"loss", "train_runtime"} & set(logs):
            logs["checkpoint_seconds"] = round(self._checkpoint_seconds, 4)
            self._checkpoint_seconds = 0.0
        super().log(logs, start_time)


def read_unlogged(checkpoint: Path, rank: int) -> Mapping[str, Any] | None:
    """The sums of this rank; another rank's if it has none, in a world of another size."""
    names = (f"unlogged_{rank}.json", "unlogged.json", "unlogged_0.json")
    for name in names:
        if (path := checkpoint / name).is_file():
            return parse_object(path.read_bytes(), name)
    return None


def state_of_end(checkpoint: str) -> TrainerState | None:
    """The state in a checkpoint after whose step no training is left; None before that."""
    state = TrainerState.load_from_json(str(Path(checkpoint) / STATE_FILE))
    unlogged = read_unlogged(Path(checkpoint), 0)
    is_over = unlogged is not None and bool(unlogged.get("is_over"))
    return state if is_over or 0 < state.max_steps <= state.global_step else None
