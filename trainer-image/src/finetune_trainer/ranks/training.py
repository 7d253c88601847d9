# SPDX-License-Identifier: Apache-2.0
"""Trains as TRL's `sft.py` does, with the config that the plan resolved; reads top to bottom."""

import gc
import json
from dataclasses import dataclass, replace
from functools import partial

import torch
from transformers import PrinterCallback

from finetune_contract.outcome import Category
from finetune_trainer.exchange.data_account import DataAccount
from finetune_trainer.exchange.heartbeats import Heart
from finetune_trainer.exchange.history import require_learning
from finetune_trainer.exchange.rank_results import RankEnding, RankResult
from finetune_trainer.exchange.rank_settings import RankSettings
from finetune_trainer.exchange.workspace import Workspace, write_atomically
from finetune_trainer.failures.errors import AttemptFailed, Stage
from finetune_trainer.ranks import verification
from finetune_trainer.ranks.arguments import Arguments, read_arguments
from finetune_trainer.ranks.attention.rows_apart import require_rows_apart
from finetune_trainer.ranks.building import Trainer, build_trainer, load_processor
from finetune_trainer.ranks.callbacks.boundary import StepBoundary, StoppedInEvaluation
from finetune_trainer.ranks.callbacks.early_stopping import early_stopping
from finetune_trainer.ranks.callbacks.handover import CheckpointHandover
from finetune_trainer.ranks.callbacks.heartbeat import Heartbeat, beat_with_data
from finetune_trainer.ranks.callbacks.learning import LearningGuard
from finetune_trainer.ranks.callbacks.progress import LOCAL_RANK, DoingRecorder, ProgressRecorder
from finetune_trainer.ranks.callbacks.tracking import CurveReplay, end_trackers
from finetune_trainer.ranks.callbacks.transport import TransportReport
from finetune_trainer.ranks.chat.ends import save_ending
from finetune_trainer.ranks.classifying import classifying
from finetune_trainer.ranks.data import accounting, prepare_data
from finetune_trainer.ranks.data.fitting import fit_to_template
from finetune_trainer.ranks.data.masking import require_a_batch, require_tokens_that_count
from finetune_trainer.ranks.data.streams import naming_broken_lines
from finetune_trainer.ranks.data.vocabulary import require_rows_of_embedding
from finetune_trainer.ranks.evaluation.ending import ended
from finetune_trainer.ranks.evaluation.judging import Judge, build_judge
from finetune_trainer.ranks.model.loading import attention_named
from finetune_trainer.ranks.model.tokens import tokenizer_of
from finetune_trainer.ranks.movement import fates
from finetune_trainer.ranks.movement.telling import tell as tell_movement
from finetune_trainer.ranks.resumption import ResumableTrainer, RunIsOver, state_of_end
from finetune_trainer.ranks.sharding import (
    gather_when_saved,
    let_deepspeed_use_cpus,
    let_fsdp_use_cpus,
    let_go,
    load_whole_from_here_on,
)
from finetune_trainer.ranks.trying import stage_of, try_a_batch
from finetune_trainer.ranks.unpickling import allow_deepspeed, load_only_data
from finetune_trainer.ranks.world import (
    require_planned_sharding,
    require_promised_gpus,
    require_promised_world,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A trainer that is ready, and its companions."""

    trainer: Trainer
    stop: StepBoundary
    judge: Judge
    account: DataAccount


def train(settings: RankSettings, workspace: Workspace, rank: int) -> RankResult:
    """Trains, saves and verifies; returns the rank's result.

    Raises:
        AttemptFailed: with its category.
    """
    heart = Heart(workspace.heartbeat(rank))
    heart.beat(Stage.CONFIG.value)
    require_promised_gpus(settings)
    with classifying(Stage.CONFIG):
        arguments = read_arguments(workspace.config, settings.cpus)
    require_promised_world(arguments.training, settings)
    load_only_data()
    if arguments.training.deepspeed_plugin is not None:
        allow_deepspeed()
    let_fsdp_use_cpus(arguments.training)
    let_deepspeed_use_cpus(arguments.training)
    beat_with_data(heart, DoingRecorder(workspace).tell if LOCAL_RANK == 0 else None)
    with naming_broken_lines(arguments):
        setup = set_up(arguments, settings, workspace, heart)
        trainer, judge = setup.trainer, setup.judge
        beat_with_data(heart)  # From now on the steps are reported.
        with classifying(partial(stage_of, trainer, settings.resume_step)):
            if not settings.resume_step:
                try_a_batch(trainer)
            answers_before = judge.answers_of_base(trainer, resumes=settings.resume_step > 0)
            run_training(trainer, arguments.training.resume_from_checkpoint)
    steps = {"step": trainer.state.global_step, "total_steps": trainer.state.max_steps}
    if setup.stop.has_stopped:
        return RankResult(rank=rank, time=0, ending=RankEnding.STOPPED, **steps)
    if LOCAL_RANK == 0:
        verification.tell_phase(workspace)
    require_learning(trainer.state.log_history)
    movement = trainer.movement()
    if rank == 0:
        tell_movement(movement, workspace)
    heart.beat(Stage.SAVING.value)
    with classifying(Stage.SAVING):
        save(trainer, workspace)
    is_chat, ending = trainer.is_chat, ended(trainer)
    figures = ending.figures | accounting.figures_of(setup.account, arguments) | _peak_memory()
    result = RankResult(rank=rank, time=0, ending=RankEnding.FINISHED, figures=figures, **steps)
    result = replace(result, attention=str(trainer.attention))
    result = result.noting(ending.note, fates.note_of(movement))
    result = result.telling(*accounting.notes(setup.account, arguments), *trainer.notes)
    end_trackers()
    # Its memory is needed to load the saved model. Not `trainer.end()` before: the trainer would
    # then be the last owner of a destroyed process group, and its deletion joins gloo's threads
    # while holding the interpreter's lock, for which one of them may wait.
    let_go(trainer)
    del trainer, setup
    load_whole_from_here_on()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if rank != 0:
        return result
    heart.beat(Stage.VERIFYING.value)
    try:
        with classifying(Stage.VERIFYING):
            verified = verification.verify(
                workspace, arguments, judge, answers_before, movement, is_chat=is_chat
            )
            write_atomically(workspace.samples, json.dumps(verified.answers, indent=2))
            ending.require_no_worse_than_base()
    except AttemptFailed as error:
        return rejected(result, error)
    return replace(result.noting(verified.note), verified=True)


def set_up(
    arguments: Arguments, settings: RankSettings, workspace: Workspace, heart: Heart
) -> Setup:
    """Data and model, in a trainer that reports, stops, hands over and judges."""
    with classifying(Stage.DATA):
        data = prepare_data(arguments)
    with classifying(Stage.MODEL):
        data = fit_to_template(data, arguments, load_processor(arguments))
    with classifying(Stage.DATA):
        stop = StepBoundary(workspace.stop, arguments.output.save_minutes)
        judge = build_judge(arguments, data, stop, workspace.stop)
    with classifying(Stage.MODEL):
        trainer = build_trainer(arguments, data.dataset)
        trainer.notes = (*data.notes, *trainer.notes)
        require_planned_sharding(trainer, settings)
        require_rows_apart(trainer, attention_named(arguments))
        require_tokens_that_count(trainer.train_dataset)
        _require_rows_of_embedding(trainer)
        require_a_batch(trainer)
        account = accounting.account_for(trainer.accounts, data.dropped, arguments)
        if trainer.is_world_process_zero():
            accounting.tell(account, workspace)
        accounting.require_rows_enough(account, arguments)
        # The supervisor reports progress: a record per step would fill a pod's log.
        trainer.remove_callback(PrinterCallback)
        for callback in (
            stop,
            ProgressRecorder(workspace, resumed_from_step=settings.resume_step),
            CurveReplay(trainer.callback_handler.callbacks),
            CheckpointHandover(workspace, resumed_from_step=settings.resume_step),
            Heartbeat(heart),
            TransportReport(workspace.nccl),
            LearningGuard(),
            judge.book,
            *early_stopping(arguments.evaluation),
        ):
            trainer.add_callback(callback)
        trainer.judge, trainer.measures_base = judge, settings.measures_base
    return Setup(trainer=trainer, stop=stop, judge=judge, account=account)


def _require_rows_of_embedding(trainer: Trainer) -> None:
    tokenizer = tokenizer_of(trainer.processing_class)
    evaluated = trainer.eval_dataset
    parts = evaluated.values() if isinstance(evaluated, dict) else [evaluated]
    for data in (trainer.train_dataset, *parts):
        require_rows_of_embedding(data, trainer.model, tokenizer)


def save(trainer: Trainer, workspace: Workspace) -> None:
    """Saves the complete artifact, however it was sharded, with the token that ends its answers."""
    gather_when_saved(trainer)
    trainer.save_model(str(workspace.artifact))
    save_ending(trainer, workspace.artifact)


def rejected(result: RankResult, error: AttemptFailed) -> RankResult:
    """The result of a training whose artifact is unusable for a reason within the job.

    The trained model is kept anyway: after ten hours its user may need to examine it.

    Raises:
        AttemptFailed: the reason is outside the job.
    """
    if error.failure.category is not Category.USER:
        raise error
    return replace(result, ending=RankEnding.REJECTED, failure=error.failure)


def run_training(trainer: ResumableTrainer, checkpoint: str | None) -> None:
    """Trains to the end, or loads the end if the checkpoint is of it; a stop ends it too."""
    try:
        if checkpoint is None or (state := state_of_end(checkpoint)) is None:
            trainer.train(resume_from_checkpoint=checkpoint)
        elif trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
            trainer.load_sharded_end(checkpoint)
        else:
            trainer.load_end(checkpoint, state)
    except RunIsOver:
        trainer.take_best()
    except StoppedInEvaluation:
        return


def _peak_memory() -> dict[str, float]:
    if not torch.cuda.is_available():
        return {}
    return {"peak_memory_bytes": float(torch.cuda.max_memory_allocated())}
