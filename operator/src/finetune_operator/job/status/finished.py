# SPDX-License-Identifier: Apache-2.0
"""The remaining work for a finished job, and its status. No I/O here."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from finetune_contract.limits import TEN_YEARS
from finetune_operator.job.definitions import render_definition
from finetune_operator.job.spec import is_redefined
from finetune_operator.objects import conditions
from finetune_operator.objects.names import Phase
from finetune_operator.objects.raw import Body, Manifest
from finetune_operator.objects.times import parse_time


def is_finished(body: Body) -> bool:
    """Whether the current spec has finished: nothing is ever created for it again."""
    found = body.get("status", {}).get("conditions", ())
    has_ended = conditions.is_true(found, "Complete") or conditions.is_true(found, "Failed")
    return has_ended and not is_redefined(body)


def acknowledged_status(previous: Mapping[str, Any], generation: int, definition: str) -> Manifest:
    """The status of a finished job after an edit: unchanged except for `observedGeneration`.

    The definition is the same; an older operator recorded only its beginning.
    """
    seen = [{**condition, "observedGeneration": generation} for condition in previous["conditions"]]
    recorded = render_definition(definition) if "definition" in previous else {}
    is_complete = conditions.is_true(seen, "Complete")
    if conditions.find(seen, "Ready") is None:
        # The conditions were edited by hand: all other code reads them.
        ended = conditions.require(seen, "Complete" if is_complete else "Failed")
        seen.append({**ended, "type": "Ready", "status": str(is_complete)})
    return {
        "phase": Phase.SUCCEEDED if is_complete else Phase.FAILED,
        **previous,
        **recorded,
        "observedGeneration": generation,
        "conditions": seen,
    }


def find_cleanup(status: Mapping[str, Any], spec: Mapping[str, Any]) -> datetime | None:
    """When to delete the children of a finished job; None if never or already deleted."""
    seconds = spec.get("ttlSecondsAfterFinished")
    if seconds is None or "cleanupTime" in status or "completionTime" not in status:
        return None
    return parse_time(status["completionTime"]) + timedelta(seconds=min(seconds, TEN_YEARS))
