# SPDX-License-Identifier: Apache-2.0
"""Events at a job's turning points, as `kubectl describe` shows them. No I/O here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from finetune_operator import conditions
from finetune_operator.manifest import Body, Manifest
from finetune_operator.naming import API_VERSION, KIND, OPERATOR, Phase, Reason, event_name
from finetune_operator.timestamps import render_time

MAX_MESSAGE = 1024
"""The API server refuses longer ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurningPoint:
    """Something that a reader of the job's history wants to know of."""

    is_warning: bool
    reason: str
    message: str


def find_turning_point(before: Mapping[str, Any], after: Mapping[str, Any]) -> TurningPoint | None:
    """What has happened between two states of a status, if it is worth telling."""
    ready = conditions.require(after["conditions"], "Ready")
    was_ready = conditions.find(before.get("conditions", ()), "Ready") or {}
    reason, message = ready["reason"], ready["message"]
    if reason == Reason.INVALID_SPEC:
        is_news = was_ready.get("message") != message
        return TurningPoint(is_warning=True, reason=reason, message=message) if is_news else None
    if after.get("attempt") != before.get("attempt"):
        started = _tell_start(after["attempts"])
        return TurningPoint(is_warning=False, reason=Reason.ATTEMPT_STARTED, message=started)
    if after["phase"] == before.get("phase"):
        return None
    match after["phase"]:
        case Phase.SUCCEEDED:
            return TurningPoint(is_warning=False, reason=reason, message=message)
        case Phase.RETRYING:
            return TurningPoint(is_warning=True, reason=Reason.RETRYING, message=message)
        case Phase.FAILED:
            return TurningPoint(is_warning=True, reason=reason, message=message)
    return None


def _tell_start(attempts: Sequence[Body]) -> str:
    """Also why there is another one: an interrupted attempt is followed without a pause."""
    *earlier, newest = attempts
    started = f"created Job {newest['name']} for attempt {newest['number']}"
    if not earlier:
        return started
    last = earlier[-1]
    return f"{started}; attempt {last['number']}: {last['result']} ({last.get('message', '')})"


def build_event(body: Body, point: TurningPoint, attempt: int | None, now: datetime) -> Manifest:
    """The Event that tells of it; told twice, it has the same name, so that one remains."""
    metadata = body["metadata"]
    name = event_name(
        metadata["name"],
        metadata["uid"],
        str(metadata["generation"]),
        str(attempt),
        point.reason,
    )
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": metadata["namespace"], "name": name},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
        "type": "Warning" if point.is_warning else "Normal",
        "reason": point.reason,
        "message": point.message[:MAX_MESSAGE],
        "source": {"component": OPERATOR},
        "reportingComponent": OPERATOR,
        "firstTimestamp": render_time(now),
        "lastTimestamp": render_time(now),
        "count": 1,
    }
