# SPDX-License-Identifier: Apache-2.0
"""Condition lists as in Kubernetes; independent of fine-tuning. No I/O here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from finetune_operator.objects.times import render_time

Condition = Mapping[str, Any]

MAX_MESSAGE = 32768
"""The API server refuses a longer one, and with it the complete status."""


MOST_SENTENCES = 20
"""Limit for one message: after these are fixed, the next ones are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The desired state of a condition; `merge` computes its transition time."""

    type: str
    is_true: bool
    reason: str
    message: str


def tell_all(sentences: Sequence[str]) -> str:
    """One message; of very many sentences, the first ones and the number of the others."""
    more = len(sentences) - MOST_SENTENCES
    told = list(sentences[:MOST_SENTENCES])
    return "; ".join(told if more <= 0 else [*told, f"and {more} more"])


def find(conditions: Sequence[Condition], type_: str) -> Condition | None:
    return next((condition for condition in conditions if condition.get("type") == type_), None)


def require(conditions: Sequence[Condition], type_: str) -> Condition:
    """The condition that must exist; a KeyError is a bug of ours."""
    condition = find(conditions, type_)
    if condition is None:
        raise KeyError(type_)
    return condition


def is_true(conditions: Sequence[Condition], type_: str) -> bool:
    condition = find(conditions, type_)
    return condition is not None and condition.get("status") == "True"


def merge(
    previous: Sequence[Condition], claims: Sequence[Claim], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """The conditions of these claims, in their order; a type without a claim disappears.

    `lastTransitionTime` moves only when the status does.
    """
    return [_render(find(previous, claim.type), claim, generation, now) for claim in claims]


def _render(
    before: Condition | None, claim: Claim, generation: int, now: datetime
) -> dict[str, Any]:
    status = "True" if claim.is_true else "False"
    is_same = before is not None and before.get("status") == status
    since = before.get("lastTransitionTime") if is_same and before is not None else None
    return {
        "type": claim.type,
        "status": status,
        "reason": claim.reason,
        "message": claim.message[:MAX_MESSAGE],
        "observedGeneration": generation,
        "lastTransitionTime": since or render_time(now),
    }
