# SPDX-License-Identifier: Apache-2.0
"""The micro-batch that an attempt has chosen if its config leaves that to the trainer. No I/O here.

It is recorded with the attempt's adjustments. The next attempt then uses the same one, or half of
it after out-of-memory, as if the user had set the number.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from finetune_contract.outcome import Outcome
from finetune_operator.job.attempts import Attempt
from finetune_spec.config import SftConfig
from finetune_spec.memory.ladder import spell
from finetune_spec.memory.micro_batch import rows_of_step, same_step


def with_chosen_batch(
    attempt: Attempt, config: SftConfig, progress: Mapping[str, Any], outcome: Outcome | None
) -> Attempt:
    """An ended attempt with the micro-batch that its trainer chose, if it was free to choose.

    While the attempt runs, its adjustments are those of its run document, which must not change.
    """
    if attempt.end is None:
        return attempt
    adjusted = config.adjusted(attempt.adjustments)
    rows = _reported(attempt, progress, outcome)
    # A status may contain any value; one that does not divide a step changes the effective batch.
    if not adjusted.has_auto_batch or rows < 1 or rows_of_step(adjusted) % rows:
        return attempt
    changes = spell(adjusted, same_step(adjusted, rows))
    return replace(attempt, adjustments={**attempt.adjustments, **changes})


def _reported(attempt: Attempt, progress: Mapping[str, Any], outcome: Outcome | None) -> int:
    """0 if none was reported yet."""
    if outcome is not None and outcome.micro_batch:
        return outcome.micro_batch
    if progress.get("attempt") != attempt.number:
        return 0
    rows: int = progress.get("microBatch") or 0
    return rows
