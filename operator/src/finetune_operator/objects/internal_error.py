# SPDX-License-Identifier: Apache-2.0
"""The conditions of an object that the operator itself fails to handle. No I/O here.

Reads the generation and the conditions, and nothing of the spec, so that a spec that causes the
error cannot prevent its report.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from finetune_operator.objects import conditions
from finetune_operator.objects.conditions import Claim
from finetune_operator.objects.names import JobReason
from finetune_operator.objects.raw import Body

LONGEST_LINE = 300
"""Characters of the exception's own message."""


def with_internal_error(
    body: Body, error: Exception, now: datetime
) -> list[Mapping[str, Any]] | None:
    """The conditions with those that name the exception; None if it is already reported, or if the
    job has ended and its result stays.

    Once for each edit: an exception whose message changes each time must not be written forever.
    """
    known = _known_conditions(body)
    if conditions.is_true(known, "Complete") or conditions.is_true(known, "Failed"):
        return None
    generation = body["metadata"]["generation"]
    ready = conditions.find(known, "Ready")
    if has_internal_error(body) and ready and ready.get("observedGeneration") == generation:
        return None
    message = (
        f"the operator failed with {describe(error)}; it retries periodically, and immediately "
        "after an edit. See its log for details"
    )
    claims = [
        Claim(type=type_, is_true=is_true, reason=JobReason.INTERNAL_ERROR, message=message)
        for type_, is_true in (("Reconciling", True), ("Ready", False))
    ]
    replaced = {claim.type for claim in claims} | {"Stalled"}
    others = [dict(it) for it in known if it.get("type") not in replaced]
    return [*others, *conditions.merge(known, claims, generation, now)]


def has_internal_error(body: Body) -> bool:
    """Whether its status reports one now."""
    ready = conditions.find(_known_conditions(body), "Ready")
    return ready is not None and ready.get("reason") == JobReason.INTERNAL_ERROR


def describe(error: Exception) -> str:
    """The exception's class and one line."""
    first, *_ = [*str(error).strip().splitlines(), ""]
    name = type(error).__name__
    return f"{name}: {first[:LONGEST_LINE]}" if first else name


def _known_conditions(body: Body) -> list[Mapping[str, Any]]:
    """The valid ones: a status may be edited by hand."""
    listed = (body.get("status") or {}).get("conditions") or ()
    return [it for it in listed if isinstance(it, Mapping)]
