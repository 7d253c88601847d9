# SPDX-License-Identifier: Apache-2.0
"""Opens and claims the output location, and checks whether its run is already complete."""

import logging
from dataclasses import dataclass

from finetune_contract.outcome import Outcome
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.publication import artifact
from finetune_trainer.publication.ownership import claim_output
from finetune_trainer.storage import locations
from finetune_trainer.storage.store import Store, open_store
from finetune_trainer.supervision.context import AttemptContext

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPlace:
    """The location that an attempt writes to."""

    output: Store
    """The job's location, for all its runs."""
    store: Store
    """The run's location."""
    completed: Outcome | None
    """The outcome of a run that an earlier attempt completed; only extras may remain."""
    is_ours: bool
    """Whether this attempt may write there."""


def enter_output(run: ParsedRun, context: AttemptContext) -> OutputPlace:
    """
    Raises:
        AttemptFailed: the location belongs to another job.
    """
    output = open_store(run.output_uri, context.environment)
    store = open_store(locations.join(run.output_uri, run.run_id), context.environment)
    completed = artifact.published_outcome(store, context.stop)
    is_ours = claim_output(
        output,
        run,
        context.stop,
        is_first_node=context.node == 0,
        is_complete=completed is not None,
    )
    if completed is not None:
        log.info("the run is complete already uri=%s", store.uri)
        if is_ours and context.node == 0 and completed.artifact is not None:
            # The attempt that completed the run may have been stopped before that.
            artifact.point_to(output, run, completed.artifact.digest, context.stop)
    return OutputPlace(output=output, store=store, completed=completed, is_ours=is_ours)
