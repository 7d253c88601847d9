# SPDX-License-Identifier: Apache-2.0
"""Gathers the facts of an attempt for its report. I/O: lists directories."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finetune_contract.progress import TrainerPhase
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.redaction import Redaction
from finetune_trainer.plan import trackers
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.plan.training_plan import TrainingPlan
from finetune_trainer.progress.reporting import Reporter
from finetune_trainer.publication.report.story import RunFacts
from finetune_trainer.storage import locations

_NOT_THE_USERS = ("output_dir", "resume_from_checkpoint", "push_to_hub")
"""Paths in the work directory, and keys that the supervisor handles itself."""

_AS_WRITTEN = ("model_name_or_path", "dataset_name", "datasets", "push_to_hub")


def run_facts_of(
    run: ParsedRun,
    planned: TrainingPlan,
    workspace: Workspace,
    reporter: Reporter,
    variables: Mapping[str, str],
) -> RunFacts:
    """The facts of the attempt."""
    progress = reporter.current()
    seconds = reporter.phase_seconds()
    # It has only begun.
    seconds.pop(TrainerPhase.PUBLISHING.value, None)
    return RunFacts(
        base_is_folder=is_folder_here(str(run.config["model_name_or_path"])),
        resumed_from_step=progress.resumed_from_step or 0,
        phase_seconds=seconds,
        estimated_memory_bytes=progress.memory.estimated_bytes,
        peak_memory_bytes=progress.memory.peak_bytes,
        tokens_per_second=progress.tokens_per_second,
        resolved_config=resolved_config(planned, run),
        local_trackers=trackers.kept_here(run.config, workspace.trackers, variables),
        redaction=Redaction.of(variables, run.config.written),
    )


def is_folder_here(name: str) -> bool:
    """Whether a name that may be one of the hub's is a local directory: transformers, too, looks
    for that first.
    """
    return locations.scheme_of(name) is None and Path(name).is_dir()


def resolved_config(planned: TrainingPlan, run: ParsedRun) -> dict[str, Any]:
    """The input of TRL's parser, with the user's names for fetched inputs, and without paths in the
    work directory, which is deleted.
    """
    wanted = run.written
    kept = {key: value for key, value in planned.config.items() if key not in _NOT_THE_USERS}
    return kept | {key: wanted[key] for key in _AS_WRITTEN if key in wanted}
