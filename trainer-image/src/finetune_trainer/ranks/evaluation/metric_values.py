# SPDX-License-Identifier: Apache-2.0
"""The result of a user's metric function -> one number for each name. Pure.

A number for each answer, as trlX's functions return them, becomes their mean.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

PREFIX = "eval_"
OF_TRL = frozenset(
    {
        *("loss", "mean_token_accuracy", "entropy", "num_tokens", "aux_loss", "runtime"),
        *("samples_per_second", "steps_per_second", "model_preparation_time"),
    }
)
"""The metrics of an evaluation itself."""


class Unusable(Exception):
    """A value that is not a metric; the message continues after the function's name."""


def read_values(returned: Any, num_answers: int) -> dict[str, float]:
    """The metrics, by their names in evaluations.

    Raises:
        Unusable: it is not a mapping of names to numbers.
    """
    if not isinstance(returned, Mapping) or not returned:
        found = described(returned) if not isinstance(returned, Mapping) else "an empty mapping"
        raise Unusable(f"returned {found}, expected a mapping of names to numbers")
    values: dict[str, float] = {}
    for key, value in returned.items():
        if not isinstance(key, str) or not key.removeprefix(PREFIX):
            raise Unusable(f"returned a value named {key!r:.60}, expected a string")
        bare = key.removeprefix(PREFIX)
        if bare in OF_TRL:
            raise Unusable(f"returned a value named {key}, which is reserved for the evaluation")
        values[PREFIX + bare] = _value(key, value, num_answers)
    return values


def described(value: Any) -> str:
    """A value in a sentence; the contents of a large one are not shown."""
    if isinstance(value, int | float | str) or value is None:
        return f"{value!r:.60}"
    return f"a {type(value).__name__}"


def _value(key: str, value: Any, num_answers: int) -> float:
    # NumPy's and torch's numbers and lists as Python's.
    plain = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(plain, Sequence) and not isinstance(plain, str | bytes) and plain:
        return _mean(key, value, plain, num_answers)
    number = None if isinstance(plain, bool) else _number(plain)
    if number is None:
        raise Unusable(
            f"returned {described(value)} for {key}, expected a number, or a list with a number "
            "for each answer"
        )
    return number


def _mean(key: str, value: Any, parts: Sequence[Any], num_answers: int) -> float:
    """The mean of a number, or a boolean, for each answer."""
    if len(parts) != num_answers:
        raise Unusable(
            f"returned {described(value)} for {key}, expected a number, or a list with a number "
            f"for each of the {num_answers} answers: it has {len(parts)}"
        )
    numbers = [_number(part) for part in parts]
    for place, (part, number) in enumerate(zip(parts, numbers, strict=True)):
        if number is None:
            raise Unusable(
                f"returned {described(part)} for {key} of answer {place + 1}, expected a number"
            )
    return math.fsum(number for number in numbers if number is not None) / len(numbers)


def _number(value: Any) -> float | None:
    """None for values that are not numbers, or not finite."""
    if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
    return number if math.isfinite(number) else None
