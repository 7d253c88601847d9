# SPDX-License-Identifier: Apache-2.0
"""Finds out why pods do not start on their node: only Events report problems of volumes and
sandboxes.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from finetune_operator.job.observe.pods import pods_of
from finetune_operator.job.observe.waiting import PodWords, needs_events
from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.kube.events import find_events
from finetune_operator.objects import conditions
from finetune_operator.objects.raw import Body
from finetune_operator.objects.times import parse_time
from finetune_operator.telemetry.logs import say

ORDINARY = timedelta(seconds=15)
"""Pods without a problem start within this time: no request is made for them."""

MOST_PODS = 3
"""Per attempt: what blocks one of many pods blocks the others."""
MOST_WORDS = 3
"""Different messages of one pod, the newest."""


async def find_pod_words(
    api: KubeApi, training_job: Body, pods: Sequence[Body], now: datetime
) -> PodWords:
    """Messages of Events about the Job's waiting pods whose status has no message."""
    silent = [pod for pod in pods_of(training_job, pods) if needs_events(pod)]
    late = [pod for pod in silent if now >= _bound_since(pod) + ORDINARY]
    return {pod["metadata"]["uid"]: await _words_about(api, pod) for pod in late[:MOST_PODS]}


def _bound_since(pod: Body) -> datetime:
    found = conditions.find(pod.get("status", {}).get("conditions", ()), "PodScheduled") or {}
    return parse_time(found.get("lastTransitionTime") or pod["metadata"]["creationTimestamp"])


async def _words_about(api: KubeApi, pod: Body) -> tuple[str, ...]:
    """None if there are none, or on an error: they are only shown to users."""
    metadata = pod["metadata"]
    try:
        events = await find_events(api, metadata["uid"], metadata["namespace"], "type=Warning")
    except ApiError as error:
        say("events not readable", pod=metadata["name"], error=error)
        return ()
    told: dict[str, None] = {}
    for event in events:
        # It has a node now, so this obstacle is over.
        if event.get("reason") != "FailedScheduling":
            told[f"{event.get('reason')}: {event['message']}"] = None
    return tuple(told)[:MOST_WORDS]
