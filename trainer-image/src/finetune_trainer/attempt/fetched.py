# SPDX-License-Identifier: Apache-2.0
"""Fetches what an attempt begins with: its models, its data and its newest checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from finetune_trainer.attempt.base_model import require_base_model
from finetune_trainer.attempt.inputs_here import InputsHere, fetch_inputs
from finetune_trainer.attempt.micro_batch import settle_micro_batch
from finetune_trainer.attempt.starting_adapter import settle_adapter
from finetune_trainer.checkpoints import checkpoints
from finetune_trainer.inputs.hub_model import is_on_hub
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.plan.topology import go_on
from finetune_trainer.storage.store import Store
from finetune_trainer.supervision.context import AttemptContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The inputs of an attempt."""

    run: ParsedRun
    """As requested, or adapted to the checkpoint that is resumed."""
    inputs: InputsHere
    checkpoint: checkpoints.Checkpoint | None
    merged: Mapping[str, Path] = field(default_factory=dict)
    """The base model after its adapter was merged into it, by its name in the config."""

    @property
    def paths(self) -> Mapping[str, Path]:
        """What is trained with."""
        return {**self.inputs.paths, **self.merged}

    @property
    def resume_step(self) -> int:
        return self.checkpoint.step if self.checkpoint else 0


def fetch_all(run: ParsedRun, context: AttemptContext, store: Store) -> Fetched:
    """
    Raises:
        AttemptFailed: an input does not exist, cannot be read, or cannot be trained with.
        Interrupted: a stop was requested.
    """
    run = settle_adapter(run, context)
    if not is_on_hub(str(run.config["model_name_or_path"])):
        require_base_model(run, context)
    inputs = fetch_inputs(run, context, lambda: require_base_model(run, context))
    # Into the trainer's own directory: it looks there for the best one, and may remove checkpoints.
    checkpoint = checkpoints.fetch_newest(
        store,
        context.workspace.training,
        context.stop,
        with_best=bool(run.config["load_best_model_at_end"]),
    )
    if checkpoint is not None:
        run = go_on(run, checkpoint)
    run = settle_micro_batch(run, context, inputs.paths)
    fetched = Fetched(run=run, inputs=inputs, checkpoint=checkpoint)
    context.reporter.note_resumed(fetched.resume_step)
    return fetched
