# SPDX-License-Identifier: Apache-2.0
"""Finds out why a Job has no pods: only an Event reports a quota or a policy that refuses them."""

from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.kube.events import find_events
from finetune_operator.objects.raw import Body
from finetune_operator.telemetry.logs import say


async def find_complaint(api: KubeApi, training_job: Body) -> str:
    """The Job controller's newest message; empty if it has none, or on an error.

    The message is only shown to users, so an error blocks nothing.
    """
    metadata = training_job["metadata"]
    try:
        events = await find_events(
            api, metadata["uid"], metadata["namespace"], "reason=FailedCreate"
        )
    except ApiError as error:
        say("events not readable", job=metadata["name"], error=error)
        return ""
    return str(events[0]["message"]) if events else ""
