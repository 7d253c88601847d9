# SPDX-License-Identifier: Apache-2.0
"""Fetches the complete object for a cached outline when it is needed."""

from collections.abc import Awaitable, Callable

from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.kube.writes import translated
from finetune_operator.objects.names import SCHEDULE_KIND
from finetune_operator.objects.raw import Body

FindWhole = Callable[[Body], Awaitable[Body]]
"""Returns the newest complete version of the job or schedule of this outline."""


async def already_whole(body: Body) -> Body:
    """A `FindWhole` for use without large objects."""
    return body


class WholeObjects:
    """Requests it from the API server; the response is cached as an outline again."""

    def __init__(self, api: KubeApi, cache: ObjectCache) -> None:
        self._api = api
        self._cache = cache

    async def find(self, outline: Body) -> Body:
        """
        Raises:
            Gone: the object no longer exists.
        """
        kind = Kind.SCHEDULE if outline["kind"] == SCHEDULE_KIND else Kind.JOB
        metadata = outline["metadata"]
        try:
            found = await self._api.get(kind.resource, metadata["namespace"], metadata["name"])
        except ApiError as error:
            raise translated(error) from error
        self._cache.remember(kind, found)
        return found
