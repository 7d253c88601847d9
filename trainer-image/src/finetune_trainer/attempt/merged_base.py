# SPDX-License-Identifier: Apache-2.0
"""`adapter_as_model: merge`: the base model with the adapter in it, before anything is trained.

The process that merges a trained adapter does it here too, with its checks: the result computes the
same as base and adapter together, and a base that does not fit into memory is merged by tensors.
Each attempt and each node merges again, from the same files: nothing is stored.
"""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from finetune_contract.reasons import Reason
from finetune_spec.config.parse.sft_config import MODEL
from finetune_trainer.attempt.inputs_here import fetch_named
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.errors import attempt_failed
from finetune_trainer.inputs.adapter_files import link_files
from finetune_trainer.plan.merging_plan import merging_config, merging_environment
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.plan.training_plan import plan_training
from finetune_trainer.supervision import merging
from finetune_trainer.supervision.context import AttemptContext

log = logging.getLogger(__name__)

_TOKENIZER = "tokenizer_config.json"


def merge_starting_adapter(
    run: ParsedRun, context: AttemptContext, paths: Mapping[str, Path]
) -> Mapping[str, Path]:
    """The merged model's directory by the base model's name; empty if nothing must be merged.

    Raises:
        AttemptFailed: it cannot be merged.
        Interrupted: a stop was requested.
    """
    if run.starting is None or not run.has_merged_base:
        return {}
    base = str(run.config[MODEL])
    workspace = Workspace(root=context.workspace.root / "merging-first")
    shutil.rmtree(workspace.root, ignore_errors=True)
    _lay_out(workspace, context.workspace.adapter, paths.get(base) or _find(base, run, context))
    planned = plan_training(
        run, context.hardware, local_paths=paths, output=workspace.training, resume=None
    )
    log.info("merging adapter=%s base=%s", run.starting.name, base)
    context.reporter.note_doing("merging the adapter into its base model")
    notes = merging.merge(
        replace(context, workspace=workspace),
        merging_config(planned.config),
        merging_environment(planned.environment),
    )
    context.reporter.note_doing(None)
    if not workspace.merged.is_dir():
        # Only a model that does not fit into memory can be without a result and without an error.
        reason = notes[0].message if notes else "memory ran out"
        raise attempt_failed(
            Reason.HOST_OUT_OF_MEMORY,
            f"the adapter {run.starting.name} could not be merged into its base model: {reason}",
            "raise spec.resources.memory",
        )
    return {base: workspace.merged}


def _find(base: str, run: ParsedRun, context: AttemptContext) -> Path | None:
    return fetch_named(base, context.workspace.inputs / "merged-base", run, context)


def _lay_out(workspace: Workspace, adapter: Path, base: Path | None) -> None:
    """The adapter in the place of a trained one, with the base model's tokenizer if it has none."""
    workspace.results.mkdir(parents=True)
    link_files(adapter, workspace.artifact)
    if base is not None and not (adapter / _TOKENIZER).is_file():
        link_files(base, workspace.artifact)
