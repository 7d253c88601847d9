# SPDX-License-Identifier: Apache-2.0
"""The whole of an object of which an outline is remembered: asked for when it is looked at."""

from collections.abc import Awaitable, Callable

from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.kube.writes import translated
from finetune_operator.objects.names import SCHEDULE_KIND
from finetune_operator.objects.raw import Body

FindWhole = Callable[[Body], Awaitable[Body]]
"""Gives the newest version of the job or schedule whose outline this is, whole."""


async def already_whole(body: Body) -> Body:
    """A `FindWhole` for where nothing large is remembered."""
    return body


class WholeObjects:
    """Asks the API server; what it answers is remembered as an outline again."""

    def __init__(self, api: KubeApi, cache: ObjectCache) -> None:
        self._api = api
        self._cache = cache

    async def find(self, outline: Body) -> Body:
        """
        Raises:
            Gone: there is no such object any more.
        """
        kind = Kind.SCHEDULE if outline["kind"] == SCHEDULE_KIND else Kind.JOB
        metadata = outline["metadata"]
        try:
            found = await self._api.get(kind.resource, metadata["namespace"], metadata["name"])
        except ApiError as error:
            raise translated(error) from error
        self._cache.remember(kind, found)
        return found
