# SPDX-License-Identifier: Apache-2.0
"""Trains as TRL's `sft.py` does, from the config that the plan resolved; reads top to bottom."""

import gc
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from datasets import DatasetDict, IterableDatasetDict
from transformers.trainer_callback import TrainerState
from trl import (
    DatasetMixtureConfig,
    ModelConfig,
    ScriptArguments,
    SFTConfig,
    SFTTrainer,
    TrlParser,
    get_peft_config,
    get_quantization_config,
)

from finetune_trainer.failures import (
    AttemptFailed,
    Stage,
    classify,
    infrastructure_error,
)
from finetune_trainer.history import figures_of, require_learning
from finetune_trainer.orders import Orders
from finetune_trainer.rank_results import Ending, RankResult
from finetune_trainer.ranks import samples, verification
from finetune_trainer.ranks.callbacks import (
    CheckpointHandover,
    LearningGuard,
    ProgressRecorder,
    StopAtBoundary,
)
from finetune_trainer.ranks.data_arguments import DataArguments
from finetune_trainer.ranks.dataset import load_data, require_tokens_that_count
from finetune_trainer.ranks.system_message import add_system_message
from finetune_trainer.workspace import Workspace, write_atomically

CONFIG_TYPES = (ScriptArguments, SFTConfig, ModelConfig, DatasetMixtureConfig, DataArguments)
STATE_FILE = "trainer_state.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The config as TRL reads it, and what is ours."""

    script: ScriptArguments
    training: SFTConfig
    model: ModelConfig
    mixture: DatasetMixtureConfig
    data: DataArguments


def train(orders: Orders, workspace: Workspace, rank: int) -> RankResult:
    """Train, save, verify; the rank's result.

    Raises:
        AttemptFailed: with whoever is to blame.
    """
    with blaming(Stage.CONFIG):
        arguments = read_arguments(workspace.config)
    require_promised_world(arguments.training, orders)
    with blaming(Stage.DATA):
        dataset = shaped_data(arguments)
    stop = StopAtBoundary(workspace.stop)
    with blaming(Stage.MODEL):
        trainer = build_trainer(arguments, dataset)
        require_tokens_that_count(trainer.train_dataset)
        trainer.add_callback(stop)
        trainer.add_callback(ProgressRecorder(workspace, resumed_from_step=orders.resume_step))
        trainer.add_callback(CheckpointHandover(workspace))
        trainer.add_callback(LearningGuard())
        prompts = samples.held_out(dataset, arguments.script.dataset_test_split, orders.samples)
    answers_before = answers_of_untrained(trainer, prompts, orders)
    with blaming(Stage.TRAINING):
        run_training(trainer, arguments.training.resume_from_checkpoint)
    steps = {"step": trainer.state.global_step, "total_steps": trainer.state.max_steps}
    if stop.has_stopped:
        return RankResult(rank=rank, time=0, ending=Ending.STOPPED, **steps)
    require_learning(trainer.state.log_history)
    with blaming(Stage.SAVING):
        trainer.save_model(str(workspace.artifact))
        if arguments.training.push_to_hub:
            trainer.push_to_hub(dataset_name=arguments.script.dataset_name)
    figures = figures_of(trainer.state.log_history) | _peak_memory()
    trainer.end()
    del trainer
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if rank == 0:
        with blaming(Stage.VERIFYING):
            answers = verification.verify(
                workspace, arguments, prompts, answers_before, orders.sample_tokens
            )
            write_atomically(workspace.samples, json.dumps(answers, indent=2))
    return RankResult(
        rank=rank, time=0, ending=Ending.FINISHED, verified=rank == 0, figures=figures, **steps
    )


@contextmanager
def blaming(stage: Stage) -> Iterator[None]:
    """Give what is raised inside the blame that this stage implies."""
    try:
        yield
    except (Exception, SystemExit) as error:
        raise AttemptFailed(classify(error, stage)) from error


class _Parser(TrlParser):
    """TRL's parser, whose complaint is an error instead of 150 lines of usage and an exit."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def read_arguments(config: Path) -> Arguments:
    """The config, by TRL's own parser; an unknown key is an error."""
    parser = _Parser(CONFIG_TYPES)
    script, training, model, mixture, data = parser.parse_args_and_config(["--config", str(config)])
    return Arguments(script=script, training=training, model=model, mixture=mixture, data=data)


def require_promised_world(training: SFTConfig, orders: Orders) -> None:
    """
    Raises:
        AttemptFailed: another number of processes, or nodes that resume from different steps.
    """
    found = training.world_size
    if found != orders.world_size:
        raise infrastructure_error(
            "WorldSizeMismatch",
            f"{orders.world_size} processes were promised to train together, {found} do",
            "check that every node's pod runs and that config.env sets no WORLD_SIZE or RANK",
        )
    if not dist.is_initialized():
        return
    steps: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(steps, orders.resume_step)
    if len(set(steps)) > 1:
        raise infrastructure_error(
            "ResumeMismatch",
            f"the nodes fetched checkpoints of different steps: {sorted(set(steps))}",
            "nothing to do: the next attempt fetches again",
        )


def shaped_data(arguments: Arguments) -> DatasetDict | IterableDatasetDict:
    """The data set that the config names, in the shape that it asks for.

    Raises:
        AttemptFailed: it cannot be had, or has not that shape.
    """
    script = arguments.script
    dataset = load_data(script, arguments.mixture, arguments.training)
    if message := arguments.data.system_message:
        splits = (script.dataset_train_split, script.dataset_test_split)
        dataset = add_system_message(dataset, message, splits)
    return dataset


def build_trainer(arguments: Arguments, dataset: Mapping[str, Any]) -> SFTTrainer:
    """The trainer, with the very arguments that TRL's `sft.py` gives it."""
    script, training, model = arguments.script, arguments.training, arguments.model
    training.model_init_kwargs = model_init_kwargs(arguments)
    return SFTTrainer(
        model=model.model_name_or_path,
        args=training,
        train_dataset=dataset[script.dataset_train_split],
        eval_dataset=dataset[script.dataset_test_split] if training.eval_strategy != "no" else None,
        quantization_config=get_quantization_config(model),
        peft_config=get_peft_config(model),
    )


def model_init_kwargs(arguments: Arguments) -> dict[str, Any]:
    """How the base model is loaded, for training and for verifying alike."""
    model = arguments.model
    return {
        "revision": model.model_revision,
        "trust_remote_code": arguments.training.trust_remote_code,
        "attn_implementation": model.attn_implementation,
        "dtype": model.dtype,
        **(arguments.training.model_init_kwargs or {}),
    }


def answers_of_untrained(
    trainer: SFTTrainer, prompts: list[samples.Prompt], orders: Orders
) -> list[str]:
    """The base model's answers, where they can only be had before training.

    With an adapter they are had later for nothing, by switching it off. Sharded models cannot
    answer from one rank alone.
    """
    is_sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    if hasattr(trainer.model, "peft_config") or is_sharded or not trainer.is_world_process_zero():
        return []
    return samples.answers(trainer.model, trainer.processing_class, prompts, orders.sample_tokens)


def run_training(trainer: SFTTrainer, checkpoint: str | None) -> None:
    """Train to the end, or load the end if the checkpoint is of the last step."""
    if checkpoint is not None and not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        state = TrainerState.load_from_json(str(Path(checkpoint) / STATE_FILE))
        if state.max_steps and state.global_step >= state.max_steps:
            # Trainer.train would take one step too many where that step ends no epoch.
            trainer._load_from_checkpoint(checkpoint)
            trainer.state = state
            # Progress and history begin here, as they would in the loop that is not entered.
            trainer.callback_handler.on_train_begin(trainer.args, state, trainer.control)
            return
    trainer.train(resume_from_checkpoint=checkpoint)


def _peak_memory() -> dict[str, float]:
    if not torch.cuda.is_available():
        return {}
    return {"peak_memory_bytes": float(torch.cuda.max_memory_allocated())}
