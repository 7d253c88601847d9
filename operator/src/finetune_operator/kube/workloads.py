# SPDX-License-Identifier: Apache-2.0
"""Reads the Workload of a Job that waits in a queue.

Read at intervals, not watched: a watch of a kind that does not exist fails forever. Kueue's
messages are only shown to users, so no failed request blocks anything.
"""

import time
from collections.abc import Callable

from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.objects.names import LABEL_JOB_UID, WORKLOADS
from finetune_operator.objects.raw import Body
from finetune_operator.telemetry.logs import say

ABSENT_FOR_SECONDS = 300.0
"""Without Kueue, or without permission, no request is made for this time."""
SILENT_FOR_SECONDS = 20.0
"""The same after any other error."""


class KubeQueue:
    """Kueue, if it is installed."""

    def __init__(self, api: KubeApi, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._ask_again = clock()

    async def find_workload(self, training_job: Body) -> Body | None:
        """The Workload of this Job; None if there is none, or on an error."""
        if self._clock() < self._ask_again:
            return None
        metadata = training_job["metadata"]
        selector = f"{LABEL_JOB_UID}={metadata['uid']}"
        for resource in WORKLOADS:
            try:
                async for workload in self._api.list_all(resource, selector, metadata["namespace"]):
                    return workload
            except ApiError as error:
                if error.status == 404:
                    continue
                say("workloads not readable", error=error)
                wait = ABSENT_FOR_SECONDS if error.status == 403 else SILENT_FOR_SECONDS
                self._ask_again = self._clock() + wait
            return None
        self._ask_again = self._clock() + ABSENT_FOR_SECONDS
        return None
