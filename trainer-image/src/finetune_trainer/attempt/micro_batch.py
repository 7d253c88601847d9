# SPDX-License-Identifier: Apache-2.0
"""Replaces `per_device_train_batch_size: auto` by a number, before other code reads it."""

import logging
from collections.abc import Mapping
from pathlib import Path

from finetune_spec.config import SftConfig
from finetune_spec.memory.ladder import ACCUMULATION, BATCH
from finetune_spec.memory.micro_batch import settle, settled
from finetune_trainer.attempt.expected_memory import read_model
from finetune_trainer.inputs.model_facts import ModelUnknown
from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.supervision.context import AttemptContext

log = logging.getLogger(__name__)


def settle_micro_batch(
    run: ParsedRun, context: AttemptContext, local_paths: Mapping[str, Path]
) -> ParsedRun:
    """The run with a number for its micro-batch, which is logged if this node chose it."""
    if not run.config.has_auto_batch:
        return run
    run = with_micro_batch(run, context.hardware, local_paths, context.environment)
    context.reporter.note_micro_batch(run.config[BATCH])
    return run


def with_micro_batch(
    run: ParsedRun,
    hardware: Hardware,
    local_paths: Mapping[str, Path],
    environment: Mapping[str, str],
) -> ParsedRun:
    """The run with the largest micro-batch that fits the smallest of its GPUs.

    Single rows without a GPU, or if the model's config has too little information. The first steps
    show whether it really fits: running out of memory there is handled as usual, and the next
    attempt has half of it.
    """
    config, reason = _choose(run, hardware, local_paths, environment)
    changes = {key: config[key] for key in (BATCH, ACCUMULATION)}
    log.info("micro-batch chosen rows=%d accumulated=%d reason=%s", *changes.values(), reason)
    return run.adjusted({run.config.name(key): value for key, value in changes.items()})


def _choose(
    run: ParsedRun,
    hardware: Hardware,
    local_paths: Mapping[str, Path],
    environment: Mapping[str, str],
) -> tuple[SftConfig, str]:
    devices = hardware.found.devices[: hardware.gpus]
    if not devices:
        return settled(run.config, 1), "no GPU with a known memory size was found"
    try:
        model, context = read_model(run, hardware, local_paths, environment)
        least = min(device.memory_bytes for device in devices)
        return settle(run.config, model, context, least), "the largest that the estimate allows"
    except ModelUnknown as unknown:
        return settled(run.config, 1), str(unknown)
    except Exception:  # Like the estimate itself: an error in it must not fail the run.
        log.exception("memory not estimated")
        return settled(run.config, 1), "the memory could not be estimated"
