# SPDX-License-Identifier: Apache-2.0
"""What each process of an attempt is expected to need, told before it trains."""

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
    """The estimate with this attempt's adjustments; None where the model says too little."""
    try:
        model, context = read_model(run, hardware, local_paths, environment)
        expected = estimate_memory(run.config, model, context)
    except ModelUnknown as unknown:
        log.info("memory not estimated reason=%s", unknown)
        return None
    except Exception:  # it is told for information: a mistake in it must not cost the run
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
    """What to change so that the run fits GPUs of so many bytes; its memory was estimated."""
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
    """The model, and where it will be trained.

    Raises:
        ModelUnknown: the model says too little.
    """
    name = run.config["model_name_or_path"]
    place = str(local_paths.get(name, name))
    facts = find_facts(place, run.config["model_revision"] or "main", environment)
    return facts.architecture(), context_of(run, hardware)
