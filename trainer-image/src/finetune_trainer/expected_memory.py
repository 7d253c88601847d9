# SPDX-License-Identifier: Apache-2.0
"""What each process of an attempt is expected to need, told before it trains."""

import logging
from collections.abc import Mapping
from pathlib import Path

from finetune_contract.memory import Estimate, estimate_memory, read_config
from finetune_contract.memory.quantity import render_bytes
from finetune_contract.run import Run
from finetune_trainer.hardware import Hardware
from finetune_trainer.model_facts import ModelUnknown, find_facts
from finetune_trainer.plan import context_of

log = logging.getLogger(__name__)


def expect_memory(
    run: Run, hardware: Hardware, local_paths: Mapping[str, Path], environment: Mapping[str, str]
) -> Estimate | None:
    """The estimate with this attempt's adjustments; None where the model says too little."""
    context = context_of(run, hardware)
    try:
        config = read_config({**run.config, **run.adjustments}, context)
        name = config["model_name_or_path"]
        place = str(local_paths.get(name, name))
        facts = find_facts(place, config["model_revision"] or "main", environment)
        expected = estimate_memory(config, facts.architecture(), context)
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
