# SPDX-License-Identifier: Apache-2.0
"""Estimates the memory that each process of an attempt needs, before it trains."""

import logging
from collections.abc import Mapping
from pathlib import Path

from finetune_spec.config import Context
from finetune_spec.memory import Architecture, Estimate, estimate_memory
from finetune_spec.memory.fitting import describe, propose
from finetune_spec.quantities import render_bytes
from finetune_trainer.inputs.model_facts import ModelUnknown, find_facts
from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.plan.training_plan import context_of

log = logging.getLogger(__name__)


def expect_memory(
    run: ParsedRun,
    hardware: Hardware,
    local_paths: Mapping[str, Path],
    environment: Mapping[str, str],
) -> Estimate | None:
    """The estimate with this attempt's adjustments; None if the model's config is insufficient."""
    try:
        model, context = read_model(run, hardware, local_paths, environment)
        expected = estimate_memory(run.config, model, context)
    except ModelUnknown as unknown:
        log.info("memory not estimated reason=%s", unknown)
        return None
    except Exception:  # The estimate is informational: an error in it must not fail the run.
        log.exception("memory not estimated")
        return None
    log.info(
        "memory estimated total=%s %s",
        render_bytes(expected.total),
        " ".join(f"{name}={render_bytes(size)}" for name, size in expected.parts.items()),
    )
    return expected


def remedy_for(
    run: ParsedRun,
    hardware: Hardware,
    local_paths: Mapping[str, Path],
    environment: Mapping[str, str],
    gpu_bytes: int,
) -> str:
    """The change that makes the run fit GPUs of this many bytes; its memory was estimated."""
    model, context = read_model(run, hardware, local_paths, environment)
    proposal = propose(run.config, model, context, gpu_bytes)
    if proposal is None:
        return describe(None)
    return f"{proposal}, or request a larger GPU"


def read_model(
    run: ParsedRun,
    hardware: Hardware,
    local_paths: Mapping[str, Path],
    environment: Mapping[str, str],
) -> tuple[Architecture, Context]:
    """The model, and the context of its training.

    Raises:
        ModelUnknown: the model's config has too little information.
    """
    name = run.config["model_name_or_path"]
    place = str(local_paths.get(name, name))
    facts = find_facts(place, run.config["model_revision"] or "main", environment)
    return facts.architecture(), context_of(run, hardware)
