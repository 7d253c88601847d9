# SPDX-License-Identifier: Apache-2.0
"""Lists everything: once to begin with, and now and then for deletions that no watch has told of.

After a watch had to begin anew (410 Gone), what vanished meanwhile is never reported as deleted.
"""

from finetune_operator.kube_api import KubeApi
from finetune_operator.memory import Kind, Memory
from finetune_operator.naming import JobKey


async def fill_memory(api: KubeApi, memory: Memory) -> None:
    """Before the watches begin: afterwards they know better than a list."""
    for kind in Kind:
        async for body in api.list_all(kind.resource, kind.selector):
            memory.remember(kind, body)


async def forget_vanished(api: KubeApi, memory: Memory) -> set[JobKey]:
    """Forgets what is gone; the jobs that this concerns."""
    concerned = set()
    for kind in Kind:
        # What is made from here on may miss the list and is not meant.
        known = {body["metadata"]["uid"]: body for body in memory.present(kind)}
        async for body in api.list_all(kind.resource, kind.selector):
            known.pop(body["metadata"]["uid"], None)
        concerned |= {memory.forget(kind, body) for body in known.values()}
    return concerned
