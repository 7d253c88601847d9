# SPDX-License-Identifier: Apache-2.0
"""The admission webhook of a replica: serves a trusted certificate, and keeps it trusted."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from finetune_operator.job.cluster import FindModel, knows_no_model
from finetune_operator.kube.client import KubeApi
from finetune_operator.objects.names import OPERATOR
from finetune_operator.settings import Settings
from finetune_operator.telemetry.logs import say_error
from finetune_operator.webhook.certificates.rotation import CertificateSource, Mounted, SelfSigned
from finetune_operator.webhook.server import WebhookServer, build_webhook_app

LONGEST_PERIOD = timedelta(seconds=10)
"""How soon the replica reacts after the configuration appears or loses its bundle."""


class Webhook:
    """Runs next to the rest of a replica, which continues without it."""

    def __init__(self, source: CertificateSource, server: WebhookServer, period: timedelta) -> None:
        self._source = source
        self._server = server
        self._period = period
        self.is_settled = False
        """Whether it serves, or need not: until then the replica should get no requests."""

    async def run(self) -> None:
        """Runs until cancelled."""
        try:
            while True:
                await self._refresh()
                await asyncio.sleep(self._period.total_seconds())
        finally:
            await self._server.stop()

    async def _refresh(self) -> None:
        try:
            keys = await self._source.refresh()
            if keys is not None:
                await self._server.show(keys)
            self.is_settled = True
        except Exception as error:  # noqa: BLE001 - a later try may work; readiness shows it
            say_error("webhook certificate not renewed", error)


def build_webhook(
    settings: Settings,
    api: KubeApi,
    now: Callable[[], datetime],
    find_model: FindModel = knows_no_model,
) -> Webhook | None:
    """None if no API server could reach it."""
    if settings.webhook_port is None:
        return None
    validity = settings.webhook_validity
    return Webhook(
        build_source(settings, api, now),
        WebhookServer(
            build_webhook_app(settings, find_model), settings.listen_address, settings.webhook_port
        ),
        min(LONGEST_PERIOD, validity / 12),
    )


def build_source(
    settings: Settings, api: KubeApi, now: Callable[[], datetime]
) -> CertificateSource:
    """The replica's own certificates, or those mounted from a directory."""
    if settings.webhook_certificates is not None:
        return Mounted(Path(settings.webhook_certificates))
    service = f"{OPERATOR}.{settings.namespace}.svc"
    return SelfSigned(
        api,
        replica=settings.replica,
        names=(service, f"{service}.cluster.local"),
        validity=settings.webhook_validity,
        now=now,
    )
