# SPDX-License-Identifier: Apache-2.0
"""What kopf does for us: log in, start, stop, watch. Only this file and `__main__` use it.

Each watched object is handed to the replica by the watch's session, before kopf processes it
(`kube.watch`). kopf stores nothing, retries nothing, posts nothing and adds no finalizer.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

from finetune_operator.kube import access as api_access
from finetune_operator.kube.cache import Kind
from finetune_operator.kube.watch import WatchSession, open_session
from finetune_operator.runtime.kopf_alone import kopf
from finetune_operator.runtime.replica import Replica
from finetune_operator.settings import Settings


def build_registry(replica: Replica, settings: Settings) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def log_in(**_: Any) -> "WatchAccess":
        access = (await api_access.log_in(settings.kubeconfig)).access
        session = open_session(access, replica)
        return WatchAccess(server=access.server, access=access, aiohttp_session=session)

    @kopf.on.startup(registry=registry, errors=kopf.ErrorsMode.PERMANENT)
    async def start(**_: Any) -> None:
        await replica.start()

    @kopf.on.cleanup(registry=registry, errors=kopf.ErrorsMode.PERMANENT)
    async def stop(**_: Any) -> None:
        await replica.stop()

    for kind in Kind:
        kopf.on.event(*_names_of(kind), registry=registry)(_is_watched)
    return registry


def build_kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    # Storages that store nothing: kopf would copy every object for them, and annotate it.
    settings.persistence.progress_storage = _NoProgress()
    settings.persistence.diffbase_storage = _NoDiffBase()
    # Another operator's peering object must not pause this one.
    settings.peering.standalone = True
    settings.posting.enabled = False
    # Namespaces and CRDs change without this operator having permission to watch them.
    settings.scanning.disabled = True
    settings.watching.server_timeout = 300
    # kopf reads complete pages, and an object may have 1.5 MB.
    settings.watching.chunk_size = 20
    for kind in Kind:
        if kind.selector:
            settings.watching.label_selectors[_names_of(kind)] = kind.selector
    # A watch without data for longer is dead; the API server sends a bookmark each minute.
    settings.watching.inactivity_timeout = 75
    settings.networking.request_timeout = 60
    settings.networking.connect_timeout = 10
    settings.networking.enforce_retry_after = True
    settings.networking.error_backoffs = Endless()
    return settings


@dataclass(frozen=True, kw_only=True)
class WatchAccess(kopf.AiohttpSession):
    """Equal if the same login would be refused again: kopf does not try a login twice."""

    access: api_access.Access
    aiohttp_session: WatchSession = field(compare=False)


def _names_of(kind: Kind) -> tuple[str, str, str]:
    """Group, version and plural."""
    group, _, version = kind.resource.api_version.rpartition("/")
    return group, version, kind.resource.plural


async def _is_watched(**_: Any) -> None:
    """Declares a resource to kopf, which calls it for no object."""


class Endless:
    """Seconds between retries, unlimited: after the last of a finite number kopf would end the
    process on all replicas at the same time, during a long outage or after a permission is revoked.
    """

    def __iter__(self) -> Iterator[float]:
        return chain((1, 1, 2, 3, 5), repeat(8))


class _NoProgress(kopf.ProgressStorage):
    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None: ...

    def purge(self, **_: Any) -> None: ...

    def touch(self, **_: Any) -> None: ...

    def clear(self, *, essence: Any) -> Any:
        return essence


class _NoDiffBase(kopf.DiffBaseStorage):
    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None: ...
