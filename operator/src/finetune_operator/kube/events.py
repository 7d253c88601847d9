# SPDX-License-Identifier: Apache-2.0
"""Reads the Events about one object. Any user who may create Events can create any number of them,
of any size, about any object: a bounded part of a bounded number is kept.
"""

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from finetune_operator.kube.client import KubeApi
from finetune_operator.objects.names import EVENTS
from finetune_operator.objects.raw import Body

MOST_EVENTS = 200
"""About one object: components repeat their Events, and create few."""

LONGEST_MESSAGE = 1024
"""Characters: a component's own Events have no more."""

_KEPT = ("reason", "lastTimestamp", "eventTime", "series")


async def find_events(api: KubeApi, uid: str, namespace: str, selector: str) -> list[Body]:
    """The Events about the object with this uid, the newest first.

    Raises:
        ApiError: they cannot be read.
    """
    fields = f"involvedObject.uid={uid},{selector}"
    found = []
    async with aclosing(api.list_all(EVENTS, "", namespace, field_selector=fields)) as listed:
        async for event in listed:
            if (event.get("involvedObject") or {}).get("uid", uid) == uid:
                found.append(_kept(event))
            if len(found) == MOST_EVENTS:
                break
    return sorted(found, key=_last_seen, reverse=True)


def _kept(event: Body) -> Mapping[str, Any]:
    created = None if _times_of(event) else event["metadata"].get("creationTimestamp")
    return {
        **{name: event[name] for name in _KEPT if name in event},
        "message": str(event.get("message") or "")[:LONGEST_MESSAGE],
        "created": created,
    }


def _times_of(event: Body) -> list[str]:
    """Old and new kinds of Events have different fields for this."""
    series = event.get("series") or {}
    times = event.get("lastTimestamp"), series.get("lastObservedTime"), event.get("eventTime")
    return [str(time) for time in times if time]


def _last_seen(event: Body) -> str:
    return next(iter(_times_of(event)), "") or str(event.get("created"))
