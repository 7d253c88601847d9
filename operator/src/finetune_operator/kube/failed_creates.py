# SPDX-License-Identifier: Apache-2.0
"""Finds out why a Job has no pods: only an Event reports a quota or a policy that refuses them."""

from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.kube.pod_events import last_seen
from finetune_operator.objects.names import EVENTS
from finetune_operator.objects.raw import Body
from finetune_operator.telemetry.logs import say


async def find_complaint(api: KubeApi, training_job: Body) -> str:
    """The Job controller's newest message; empty if it has none, or on an error.

    The message is only shown to users, so an error blocks nothing.
    """
    metadata = training_job["metadata"]
    selector = f"involvedObject.uid={metadata['uid']},reason=FailedCreate"
    listed = api.list_all(EVENTS, "", metadata["namespace"], field_selector=selector)
    try:
        events = [event async for event in listed]
    except ApiError as error:
        say("events not readable", job=metadata["name"], error=error)
        return ""
    newest = max(events, key=last_seen, default=None)
    return "" if newest is None else str(newest.get("message", ""))
