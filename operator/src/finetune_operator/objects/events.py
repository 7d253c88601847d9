# SPDX-License-Identifier: Apache-2.0
"""Events at the turning points of a job or schedule, as `kubectl describe` shows them.

No I/O here.
"""

from dataclasses import dataclass
from datetime import datetime

from finetune_operator.objects.names import API_VERSION, OPERATOR, event_name
from finetune_operator.objects.raw import Body, Manifest
from finetune_operator.objects.times import render_time

MAX_EVENT_MESSAGE = 1024
"""The API server refuses longer ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurningPoint:
    """A change that readers of the object's history should see."""

    is_warning: bool = False
    reason: str
    message: str
    about: str = ""
    """Distinguishes it from others with the same reason, so that each is reported once."""


def build_event(
    body: Body, kind: str, point: TurningPoint, now: datetime, *occasion: str
) -> Manifest:
    """The Event about an object of this kind; it has the same name for the same occasion."""
    metadata = body["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "namespace": metadata["namespace"],
            "name": event_name(metadata["name"], metadata["uid"], *occasion),
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": kind,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
        "type": "Warning" if point.is_warning else "Normal",
        "reason": point.reason,
        "message": point.message[:MAX_EVENT_MESSAGE],
        "source": {"component": OPERATOR},
        "reportingComponent": OPERATOR,
        "firstTimestamp": render_time(now),
        "lastTimestamp": render_time(now),
        "count": 1,
    }
