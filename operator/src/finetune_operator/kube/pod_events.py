# SPDX-License-Identifier: Apache-2.0
"""Asks why pods do not start on their node: of volumes and sandboxes only Events tell."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from finetune_operator.job.observe.pods import pods_of
from finetune_operator.job.observe.waiting import PodWords, needs_events
from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.objects import conditions
from finetune_operator.objects.names import EVENTS
from finetune_operator.objects.raw import Body
from finetune_operator.objects.times import parse_time
from finetune_operator.telemetry.logs import say

ORDINARY = timedelta(seconds=15)
"""Within which pods start that nothing holds up: for those nobody is asked."""

MOST_PODS = 3
"""Of an attempt: what holds up one of many holds up the others."""
MOST_WORDS = 3
"""Different ones of one pod, the newest."""


async def find_pod_words(
    api: KubeApi, training_job: Body, pods: Sequence[Body], now: datetime
) -> PodWords:
    """What Events say of the Job's pods that wait without a word in their status."""
    silent = [pod for pod in pods_of(training_job, pods) if needs_events(pod)]
    late = [pod for pod in silent if now >= _bound_since(pod) + ORDINARY]
    return {pod["metadata"]["uid"]: await _words_about(api, pod) for pod in late[:MOST_PODS]}


def _bound_since(pod: Body) -> datetime:
    found = conditions.find(pod.get("status", {}).get("conditions", ()), "PodScheduled") or {}
    return parse_time(found.get("lastTransitionTime") or pod["metadata"]["creationTimestamp"])


async def _words_about(api: KubeApi, pod: Body) -> tuple[str, ...]:
    """None where there are none, or no answer: they are only told to users."""
    metadata = pod["metadata"]
    selector = f"involvedObject.uid={metadata['uid']},type=Warning"
    listed = api.list_all(EVENTS, "", metadata["namespace"], field_selector=selector)
    try:
        events = [event async for event in listed]
    except ApiError as error:
        say("events not readable", pod=metadata["name"], error=error)
        return ()
    own = [it for it in events if it.get("involvedObject", {}).get("uid") == metadata["uid"]]
    told: dict[str, None] = {}
    for event in sorted(own, key=last_seen, reverse=True):
        # It has a node now: what kept it from one is over.
        if event.get("reason") != "FailedScheduling":
            told[f"{event.get('reason')}: {event.get('message', '')}"] = None
    return tuple(told)[:MOST_WORDS]


def last_seen(event: Body) -> str:
    """Old and new kinds of Events keep that in fields of their own."""
    series = event.get("series") or {}
    told = event.get("lastTimestamp") or series.get("lastObservedTime") or event.get("eventTime")
    return str(told or event["metadata"]["creationTimestamp"])
