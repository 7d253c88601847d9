# SPDX-License-Identifier: Apache-2.0
"""Lists everything: once at the start, and regularly for deletions that no watch has reported.

After a watch had to restart (410 Gone), objects deleted meanwhile are never reported as deleted.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.objects.names import Key, Resource
from finetune_operator.objects.raw import Body
from finetune_operator.telemetry import metrics
from finetune_operator.telemetry.logs import say_error

Listed = TypeVar("Listed")


async def fill_cache(api: KubeApi, cache: ObjectCache, namespaces: Sequence[str] = ()) -> None:
    """Runs before the watches begin: later they are newer than a list. No namespaces: all."""
    for kind in Kind:
        async for body in _list(api.list_all, kind, namespaces):
            try:
                cache.remember(kind, body)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it is one object
                tell_skipped(kind, body, "list", error)


def tell_skipped(kind: Kind, body: Body, where: str, error: Exception) -> None:
    """Logs and counts an object that could not be cached: no other one is lost because of it."""
    metadata = body.get("metadata") or {}
    name = f"{metadata.get('namespace')}/{metadata.get('name')}"
    say_error("object skipped", error, kind=kind.resource.plural, name=name, where=where)
    metrics.count_skipped(kind.resource.plural, where)


async def forget_vanished(
    api: KubeApi, cache: ObjectCache, namespaces: Sequence[str] = ()
) -> set[Key]:
    """Removes deleted objects from the cache; returns the affected jobs and schedules."""
    concerned = set()
    for kind in Kind:
        # Objects created from here on may be missing in the list and are not affected.
        known = {body["metadata"]["uid"]: body for body in cache.present(kind)}
        async for uid in _list(api.list_uids, kind, namespaces):
            known.pop(uid, None)
        # With the version that was known: objects that changed during the list exist.
        concerned |= {cache.forget(kind, body) for body in known.values()}
    return concerned


async def is_defined(api: KubeApi, kind: Kind, namespaces: Sequence[str] = ()) -> bool:
    """Whether the cluster has the CRD of this kind.

    Raises:
        ApiError: the API server gives no definite answer.
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
    list_: Callable[[Resource, str, str | None], AsyncIterator[Listed]],
    kind: Kind,
    namespaces: Sequence[str],
) -> AsyncIterator[Listed]:
    try:
        for namespace in namespaces or (None,):
            async for listed in list_(kind.resource, kind.selector, namespace):
                yield listed
    except ApiError as error:
        # Jobs must not wait for an upgrade that has not installed the CRD of schedules yet.
        if kind is not Kind.SCHEDULE or error.status != 404:
            raise
