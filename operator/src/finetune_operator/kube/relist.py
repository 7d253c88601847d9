# SPDX-License-Identifier: Apache-2.0
"""Lists everything: once to begin with, and now and then for deletions that no watch has told of.

After a watch had to begin anew (410 Gone), what vanished meanwhile is never reported as deleted.
"""

from collections.abc import AsyncIterator, Sequence

from finetune_operator.kube.cache import Kind, Memory
from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.objects.names import Key
from finetune_operator.objects.raw import Body


async def fill_memory(api: KubeApi, memory: Memory, namespaces: Sequence[str] = ()) -> None:
    """Before the watches begin: afterwards they know better than a list. No namespaces: all."""
    for kind in Kind:
        async for body in _list(api, kind, namespaces):
            memory.remember(kind, body)


async def forget_vanished(api: KubeApi, memory: Memory, namespaces: Sequence[str] = ()) -> set[Key]:
    """Forgets what is gone; the jobs and schedules that this concerns."""
    concerned = set()
    for kind in Kind:
        # What is made from here on may miss the list and is not meant.
        known = {body["metadata"]["uid"]: body for body in memory.present(kind)}
        async for body in _list(api, kind, namespaces):
            known.pop(body["metadata"]["uid"], None)
        # With the version that was known: what has changed during the list is there.
        concerned |= {memory.forget(kind, body) for body in known.values()}
    return concerned


async def is_defined(api: KubeApi, kind: Kind, namespaces: Sequence[str] = ()) -> bool:
    """Whether the cluster has the definition of this kind.

    Raises:
        ApiError: it does not say so now.
    """
    try:
        async for _ in api.list_all(kind.resource, kind.selector, *namespaces[:1]):
            return True
    except ApiError as error:
        if error.status != 404:
            raise
        return False
    return True


async def _list(api: KubeApi, kind: Kind, namespaces: Sequence[str]) -> AsyncIterator[Body]:
    try:
        for namespace in namespaces or (None,):
            async for body in api.list_all(kind.resource, kind.selector, namespace):
                yield body
    except ApiError as error:
        # Jobs must not wait for an upgrade that has not brought the definition of schedules yet.
        if kind is not Kind.SCHEDULE or error.status != 404:
            raise
