# SPDX-License-Identifier: Apache-2.0
"""read_adjustments: the config changes that an attempt is recorded with. No I/O here.

They override the config that webhook and guard rails have checked. A status, and the annotation of
a Job, can be edited by hand: only keys that a retry itself changes are read, with values that it
could have written.
"""

from collections.abc import Mapping
from typing import Any

from finetune_contract.limits import MAX_COUNT
from finetune_spec.config.parse.spellings import OLDER
from finetune_spec.memory.ladder import ACCUMULATION, BATCH

EVAL_BATCH = "per_device_eval_batch_size"

_COUNTS = frozenset({BATCH, ACCUMULATION, EVAL_BATCH})
_SWITCHES = frozenset({"activation_checkpointing", "gradient_checkpointing"})


def read_adjustments(recorded: Any) -> Mapping[str, int | bool]:
    """The valid entries, in the user's own spelling."""
    entries = recorded.items() if isinstance(recorded, Mapping) else ()
    return {key: value for key, value in entries if _is_adjustment(key, value)}


def _is_adjustment(key: str, value: Any) -> bool:
    name = OLDER.get(key, key)
    if name in _SWITCHES:
        return value is True
    return name in _COUNTS and type(value) is int and 1 <= value <= MAX_COUNT
