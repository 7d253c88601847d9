# SPDX-License-Identifier: Apache-2.0
"""Numbers that must lie in a range: the table `RANGES`. No I/O here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from finetune_contract.config.problem import Problem, quoted
from finetune_contract.config.schema import Schema
from finetune_contract.config.values import is_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The numbers that make sense for a key."""

    words: str
    """What was expected, as in `expected {words}`."""
    minimum: float | None = None
    above: float | None = None
    """A minimum that is itself outside."""


AT_LEAST_ONE = Range(words="at least 1", minimum=1)

RANGES: Mapping[str, Range] = {
    "per_device_train_batch_size": AT_LEAST_ONE,
}


def check_range(key: str, name: str, value: Any, schema: Schema) -> Iterator[Problem]:
    allowed = RANGES.get(key)
    if allowed is None or not is_number(value):
        return
    is_low = allowed.minimum is not None and value < allowed.minimum
    if is_low or (allowed.above is not None and value <= allowed.above):
        yield Problem(path=name, message=f"found {quoted(value)}, expected {allowed.words}")


RANGE_CHECKS = (check_range,)
