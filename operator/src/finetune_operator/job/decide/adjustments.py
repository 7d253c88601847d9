# SPDX-License-Identifier: Apache-2.0
"""The ladder for a GPU that is too small: what the next attempt sets otherwise. No I/O here.

Each step is tried once, from the top; the effective batch, and so what is learned, stays the same:

1. half the micro-batch and twice the accumulation, until the micro-batch is 1
2. activations computed again in the backward pass instead of kept
"""

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_contract.outcome import Blame
from finetune_operator.job.attempts import Attempt, Result
from finetune_operator.job.spec import FineTuneJob
from finetune_spec.config.parse.reading import Reading
from finetune_spec.job import read_job_config

BATCH, EVAL_BATCH = "per_device_train_batch_size", "per_device_eval_batch_size"
ACCUMULATION = "gradient_accumulation_steps"
CHECKPOINTING, OLDER_CHECKPOINTING = "activation_checkpointing", "gradient_checkpointing"
"""The newer name wins where it is set; the default is the older one's."""


def adjustments_for_next(job: FineTuneJob, attempts: Sequence[Attempt]) -> Mapping[str, Any] | None:
    """What the next attempt sets otherwise than the config; None where the ladder is at its end."""
    if not attempts:
        return {}
    last = attempts[-1]
    if not ran_out_of_memory(last):
        return last.adjustments
    return _next_step(read_job_config({**job.config, **last.adjustments}, job.image), last)


def ran_out_of_memory(attempt: Attempt) -> bool:
    failure = attempt.failure if attempt.result is Result.FAILED else None
    return failure is not None and failure.blame is Blame.OUT_OF_MEMORY


def _next_step(config: Reading, last: Attempt) -> Mapping[str, Any] | None:
    def renamed(values: Mapping[str, Any]) -> Mapping[str, Any]:
        # By the user's own spelling, beside which another would be a contradiction.
        return {**last.adjustments, **{config.name(key): value for key, value in values.items()}}

    sizes = [_read_size(config, key) for key in (BATCH, ACCUMULATION, EVAL_BATCH)]
    if None in sizes:
        # A config that only an older operator would have accepted: nobody knows what is half of it.
        return None
    batch, accumulation, evaluated = (size or 1 for size in sizes)
    if batch > 1:
        # An odd one can't be halved without another effective batch: then all at once.
        parts = 2 if batch % 2 == 0 else batch
        values = {BATCH: batch // parts, ACCUMULATION: accumulation * parts}
        return renamed({**values, EVAL_BATCH: max(1, evaluated // parts)})
    checkpointing = CHECKPOINTING if config.is_set(CHECKPOINTING) else OLDER_CHECKPOINTING
    return None if config[checkpointing] else renamed({checkpointing: True})


def _read_size(config: Reading, key: str) -> int | None:
    """None for what is no whole number above 0."""
    try:
        size = config.number(key)
    except (TypeError, ValueError):
        return None
    return int(size) if size >= 1 and size.is_integer() else None
