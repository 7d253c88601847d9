# SPDX-License-Identifier: Apache-2.0
"""The processes that train together, as seen by each of them."""

import os
from typing import Any

import torch
import torch.distributed as dist
from trl import SFTConfig

from finetune_contract.reasons import Reason
from finetune_trainer.exchange.rank_settings import RankSettings
from finetune_trainer.failures.classification import classify
from finetune_trainer.failures.errors import AttemptFailed, Stage, attempt_failed


def require_promised_gpus(settings: RankSettings) -> None:
    """Requires a working GPU for each rank: without one `TrainingArguments` would use the CPU.

    Raises:
        AttemptFailed: torch sees fewer GPUs than the supervisor, or its own does not work.
    """
    if settings.gpus == 0:
        return
    there = torch.cuda.device_count()
    if there < settings.gpus:
        raise attempt_failed(
            Reason.GPU_MISSING,
            f"the ranks of this node require {settings.gpus} GPUs, but torch detects {there}",
            "remove CUDA_VISIBLE_DEVICES from config.env and the pod; check the node's GPUs",
        )
    try:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        torch.ones(1, device="cuda").add_(1).item()
    except RuntimeError as error:
        raise AttemptFailed(classify(error, Stage.CHECKING)) from error


def require_promised_world(training: SFTConfig, settings: RankSettings) -> None:
    """
    Raises:
        AttemptFailed: another number of processes, nodes that resume from different steps, or
          processes with another strategy than promised.
    """
    found = training.world_size
    if found != settings.world_size:
        raise attempt_failed(
            Reason.WORLD_SIZE_MISMATCH,
            f"{settings.world_size} processes were expected to train together, but {found} do",
            "check that every node's pod runs and that config.env sets no WORLD_SIZE or RANK",
        )
    if not dist.is_initialized():
        return
    steps = _of_all_ranks(settings.resume_step)
    if len(set(steps)) > 1:
        raise attempt_failed(
            Reason.RESUME_MISMATCH,
            f"the nodes fetched checkpoints of different steps: {sorted(set(steps))}",
            "no action: the next attempt fetches again",
        )
    _require_same_micro_batch(training)
    _require_same(training, settings)


def strategy_of(training: SFTConfig) -> str:
    """How this process would share the work, by everything that accelerate will read."""
    if training.deepspeed_plugin is not None:
        stage = training.deepspeed_plugin.hf_ds_config.get_value("zero_optimization.stage", 0)
        return f"ZeRO-{stage}"
    if training.fsdp:
        return f"FSDP{training.fsdp_plugin_args['fsdp_version']}"
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true":
        return f"FSDP{os.environ.get('FSDP_VERSION', '1')}"
    return "DDP" if training.world_size > 1 else "one process"


def _of_all_ranks(mine: Any) -> list[Any]:
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, mine)
    return found


def _require_same_micro_batch(training: SFTConfig) -> None:
    """Each node's supervisor chooses an automatic one for its own GPUs."""
    rows = training.per_device_train_batch_size
    if len(different := sorted(set(_of_all_ranks(rows)))) > 1:
        least, step = different[0], rows * training.gradient_accumulation_steps
        raise attempt_failed(
            Reason.DISTRIBUTION_MISMATCH,
            f"the ranks have micro-batches of {' and '.join(map(str, different))} rows: with "
            "auto, each node chooses according to the memory of its GPUs, which differs",
            f"set per_device_train_batch_size to {least} and gradient_accumulation_steps to "
            f"{step // least}",
        )


def _require_same(training: SFTConfig, settings: RankSettings) -> None:
    """All ranks receive a difference of any of them, so that none waits for it later."""
    usual = "gloo" if training.device.type == "cpu" else "nccl"
    wanted, backend = training.ddp_backend or usual, dist.get_backend()
    if wanted not in backend:
        raise _mismatch(
            f"the processes were planned to communicate over {wanted}, but use {backend}"
        )
    found = _of_all_ranks(strategy_of(training))
    promised = settings.strategy or found[0]
    for rank, strategy in enumerate(found):
        if strategy != promised:
            raise _mismatch(f"{promised} was planned, but rank {rank} would train with {strategy}")


def require_planned_sharding(trainer: Any, settings: RankSettings) -> None:
    """Checks the result of accelerate, which silently ignores options that it does not support.

    Raises:
        AttemptFailed: the model would not be sharded as planned.
    """
    state = trainer.accelerator.state
    found = str(state.distributed_type.value)
    kinds = {"FSDP": "FSDP", "ZeRO": "DEEPSPEED"}
    for name, kind in kinds.items():
        if settings.strategy.startswith(name) != (found == kind) and settings.strategy:
            raise _mismatch(f"{settings.strategy} was planned, but accelerate has set up {found}")


def _mismatch(message: str) -> AttemptFailed:
    return attempt_failed(
        Reason.DISTRIBUTION_MISMATCH,
        message,
        "remove ACCELERATE_ and FSDP_ variables from config.env and the pod, and set "
        "accelerate_config instead",
    )
