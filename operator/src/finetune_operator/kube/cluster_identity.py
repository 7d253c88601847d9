# SPDX-License-Identifier: Apache-2.0
"""Asks which cluster this is: the uid of its namespace kube-system, which no other cluster has."""

import logging

from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.objects.names import NAMESPACES
from finetune_operator.telemetry.logs import say

_NAMESPACE = "kube-system"


async def find_cluster_id(api: KubeApi) -> str | None:
    """None where it may not be asked for: jobs run without it, and their places name no cluster.

    Raises:
        ApiError: there was no answer, or one that is none.
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
