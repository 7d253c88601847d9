# SPDX-License-Identifier: Apache-2.0
"""Identifies the cluster by the uid of its namespace kube-system, which is unique."""

import logging

from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.objects.names import NAMESPACES
from finetune_operator.telemetry.logs import say

_NAMESPACE = "kube-system"


async def find_cluster_id(api: KubeApi) -> str | None:
    """None without permission to read it: jobs run without it, and their claims name no cluster.

    Raises:
        ApiError: no response, or an invalid one.
    """
    try:
        found = await api.get(NAMESPACES, None, _NAMESPACE)
    except ApiError as error:
        if error.status not in (403, 404):
            raise
        say(
            "cluster not identified",
            level=logging.WARNING,
            error=error,
            remedy="set clusterId, or let the operator read the namespace kube-system",
        )
        return None
    return str(found["metadata"]["uid"])
