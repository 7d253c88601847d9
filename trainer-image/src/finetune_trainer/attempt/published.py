# SPDX-License-Identifier: Apache-2.0
"""A run whose artifact is complete, from this attempt or an earlier one. No I/O here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from finetune_contract.outcome import Artifact, Outcome
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.storage.store import Store
from finetune_trainer.supervision.context import AttemptContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The input of extras."""

    run: ParsedRun
    context: AttemptContext
    store: Store
    """The run's store."""
    outcome: Outcome
    artifact: Artifact
    """The outcome's artifact."""
    paths: Mapping[str, Path] | None = None
    """The local paths of the config's models and data, by their names there; None if nothing was
    fetched because the run was already complete.
    """
