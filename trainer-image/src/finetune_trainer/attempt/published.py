# SPDX-License-Identifier: Apache-2.0
"""A run whose artifact is complete, by this attempt or by an earlier one. No I/O here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from finetune_contract.outcome import Artifact, Outcome
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.storage.store import Store
from finetune_trainer.supervision.context import AttemptContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What extras are made of."""

    run: ParsedRun
    context: AttemptContext
    store: Store
    """The run's."""
    outcome: Outcome
    artifact: Artifact
    """The outcome's."""
    paths: Mapping[str, Path] | None = None
    """Where the models and data of the config are now, by their names there; None where nothing was
    fetched, since the run was found complete."""
