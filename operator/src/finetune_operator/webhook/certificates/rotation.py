# SPDX-License-Identifier: Apache-2.0
"""The webhook's current certificate: one that the replica creates, or a mounted one.

The replica's own is valid for a day at most and exists in its memory only. It is renewed after half
of that, and shown only after the API server trusts it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.objects.errors import Conflict
from finetune_operator.objects.names import OPERATOR, WEBHOOK_CONFIGURATIONS
from finetune_operator.objects.raw import Body
from finetune_operator.telemetry.logs import say
from finetune_operator.webhook.certificates.ca_bundle import trusts, with_trusted
from finetune_operator.webhook.certificates.x509 import (
    Certificate,
    KeyPair,
    make_self_signed,
    read_certificates,
)

TRIES = 10
"""How often a write is repeated because another replica was faster, before it is an error."""


class CertificateSource(Protocol):
    """The source of the certificate to show now."""

    async def refresh(self) -> KeyPair | None:
        """The same one while it is valid; None if there must be no webhook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """A key pair that this replica created, and the content of its certificate."""

    keys: KeyPair
    certificate: Certificate
    made: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """The certificates of a replica at a time; all of them are trusted."""

    shown: Own
    coming: Own | None = None
    """Trusted, and shown once every API server has received the configuration."""
    past: Own | None = None
    """The previous one: requests may still be in progress."""

    @property
    def certificates(self) -> list[Certificate]:
        held = (self.past, self.shown, self.coming)
        return [own.certificate for own in held if own is not None]


class SelfSigned:
    """Certificates that the replica creates, trusted through the webhook's configuration."""

    def __init__(
        self,
        api: KubeApi,
        *,
        replica: str,
        names: tuple[str, ...],
        validity: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._replica = replica
        self._names = names
        self._validity = validity
        self._now = now
        self._holding: Holding | None = None
        self._is_told = False

    async def refresh(self) -> KeyPair | None:
        for _ in range(TRIES):
            try:
                return await self._refresh()
            except ApiError as error:
                if error.status == 409:
                    continue
                if error.status not in (403, 404):
                    raise
                self._tell_once(error)
                return None
        raise Conflict

    async def _refresh(self) -> KeyPair:
        configuration = await self._api.get(WEBHOOK_CONFIGURATIONS, None, OPERATOR)
        now = self._now()
        holding = self._next_holding(configuration, now)
        wanted = with_trusted(configuration, holding.certificates, now)
        if wanted != configuration:
            await self._api.replace(WEBHOOK_CONFIGURATIONS, wanted)
        self._note(holding)
        return holding.shown.keys

    def _next_holding(self, configuration: Body, now: datetime) -> Holding:
        held = self._holding
        if held is None or not _is_trusted(held.shown, configuration, now):
            # The one that is shown is not trusted, so there is no reason to wait.
            return Holding(shown=self._make(now))
        if now < held.shown.made + self._validity / 2:
            return held
        if held.coming is None or not _is_trusted(held.coming, configuration, now):
            return Holding(shown=held.shown, coming=self._make(now))
        if now < held.coming.made + self._validity / 24:
            return held
        return Holding(shown=held.coming, past=held.shown)

    def _make(self, now: datetime) -> Own:
        keys = make_self_signed(self._replica, self._names, now=now, validity=self._validity)
        certificate = read_certificates(keys.certificates)[0]
        return Own(keys=keys, certificate=certificate, made=now)

    def _note(self, holding: Holding) -> None:
        if self._holding is None or holding.shown != self._holding.shown:
            say("webhook certificate made", valid_until=holding.shown.certificate.valid_until)
        self._holding = holding
        self._is_told = False

    def _tell_once(self, error: ApiError) -> None:
        """A missing configuration is no error, and would fill the log."""
        if not self._is_told:
            say("webhook not installed", error=error)
        self._is_told = True


class Mounted:
    """A certificate that cert-manager or the platform team keeps and renews in a directory.

    Its owner also puts its CA into the configuration.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def refresh(self) -> KeyPair:
        return KeyPair(
            certificates=(self._folder / "tls.crt").read_bytes(),
            private_key=(self._folder / "tls.key").read_bytes(),
        )


def _is_trusted(own: Own, configuration: Body, now: datetime) -> bool:
    return own.certificate.valid_until > now and trusts(configuration, own.certificate)
