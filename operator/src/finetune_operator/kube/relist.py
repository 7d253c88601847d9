# SPDX-License-Identifier: Apache-2.0
"""Lists everything: once to begin with, and now and then for deletions that no watch has told of.

After a watch had to begin anew (410 Gone), what vanished meanwhile is never reported as deleted.
"""

from collections.abc import AsyncIterator, Sequence

from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.objects.names import Key
from finetune_operator.objects.raw import Body
from finetune_operator.telemetry import metrics
from finetune_operator.telemetry.logs import say_error


async def fill_cache(api: KubeApi, cache: ObjectCache, namespaces: Sequence[str] = ()) -> None:
    """Before the watches begin: afterwards they know better than a list. No namespaces: all."""
    for kind in Kind:
        async for body in _list(api, kind, namespaces):
            take(cache, kind, body, "list")


def take(
    cache: ObjectCache, kind: Kind, body: Body, where: str, *, is_gone: bool = False
) -> Key | None:
    """Remembers or forgets one object; None where that is not possible, which is told and counted:
    no other object of a list or a watch is lost over it."""
    try:
        return cache.forget(kind, body) if is_gone else cache.remember(kind, body)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it is one object
        metadata = body.get("metadata") or {}
        name = f"{metadata.get('namespace')}/{metadata.get('name')}"
        say_error("object skipped", error, kind=kind.resource.plural, name=name, where=where)
        metrics.count_skipped(kind.resource.plural, where)
        return None


async def forget_vanished(
    api: KubeApi, cache: ObjectCache, namespaces: Sequence[str] = ()
) -> set[Key]:
    """Forgets what is gone; the jobs and schedules that this concerns."""
    concerned = set()
    for kind in Kind:
        # What is made from here on may miss the list and is not meant.
        known = {body["metadata"]["uid"]: body for body in cache.present(kind)}
        async for body in _list(api, kind, namespaces, metadata_only=True):
            known.pop(body["metadata"]["uid"], None)
        # With the version that was known: what has changed during the list is there.
        concerned |= {cache.forget(kind, body) for body in known.values()}
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


async def _list(
    api: KubeApi, kind: Kind, namespaces: Sequence[str], *, metadata_only: bool = False
) -> AsyncIterator[Body]:
    resource, selector = kind.resource, kind.selector
    try:
        for namespace in namespaces or (None,):
            listed = api.list_all(resource, selector, namespace, metadata_only=metadata_only)
            async for body in listed:
                yield body
    except ApiError as error:
        # Jobs must not wait for an upgrade that has not brought the definition of schedules yet.
        if kind is not Kind.SCHEDULE or error.status != 404:
            raise
