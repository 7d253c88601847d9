# SPDX-License-Identifier: Apache-2.0
"""Config changes for the next attempt after one ran out of GPU memory. No I/O here.

It takes the next rung of `memory.ladder` that is open to a retry; the training result stays the
same.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_contract.outcome import Category
from finetune_operator.job.attempts import Attempt, Result
from finetune_operator.job.known_adjustments import EVAL_BATCH
from finetune_operator.job.spec import FineTuneJob
from finetune_spec.config import Context, SftConfig
from finetune_spec.memory.ladder import BATCH, ConfigChanges, find_rungs, spell


def adjustments_for_next(job: FineTuneJob, attempts: Sequence[Attempt]) -> Mapping[str, Any] | None:
    """The config keys that the next attempt changes; None at the end of the ladder."""
    if not attempts:
        return {}
    last = attempts[-1]
    if not ran_out_of_memory(last):
        return last.adjustments
    config = job.config.adjusted(last.adjustments)
    for rung, settings in find_rungs(config, Context()):
        if rung.is_retried:
            changed = {**settings, **_smaller_evaluation(config, settings)}
            return {**last.adjustments, **spell(config, changed)}
    return None


def ran_out_of_memory(attempt: Attempt) -> bool:
    failure = attempt.failure if attempt.result is Result.FAILED else None
    return failure is not None and failure.category is Category.OUT_OF_MEMORY


def _smaller_evaluation(config: SftConfig, settings: ConfigChanges) -> ConfigChanges:
    """In proportion to the training batch: the failure does not report which of them was too
    large.
    """
    rows = config[EVAL_BATCH]
    if BATCH not in settings or not isinstance(rows, int):
        return {}
    return {EVAL_BATCH: max(1, rows * settings[BATCH] // config[BATCH])}
