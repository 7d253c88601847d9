# SPDX-License-Identifier: Apache-2.0
"""Leadership through a Lease: at any time at most one replica reconciles.

The holder renews the Lease. If it fails to for `renew_deadline`, it stops its work; another replica
may begin only `duration` after the last renewal. No other machine's clock is trusted: a follower
counts the duration from its own last observed change of the Lease.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from finetune_operator.objects.errors import Conflict, NotLeading
from finetune_operator.objects.raw import Body, Manifest
from finetune_operator.objects.times import render_micro_time
from finetune_operator.telemetry.logs import say

MOST_TRANSITIONS = 2**31 - 1
"""The API server stores them in 32 bits, and refuses one more."""


class LeaseStore(Protocol):
    """The storage of the Lease."""

    async def read(self) -> Body | None: ...

    async def write(self, lease: Body) -> None:
        """Creates or replaces exactly the version that was read.

        Raises:
            Conflict: another replica was faster.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """After a holder was killed, its successor starts within `duration` plus `period`."""

    duration: timedelta = timedelta(seconds=12)
    renew_deadline: timedelta = timedelta(seconds=8)
    """Shorter than the duration by the time that workers need to stop."""
    period: timedelta = timedelta(seconds=1.5)
    """Between two tries to get or renew it."""
    longest_duration: timedelta = timedelta(seconds=60)
    """The longest wait for a holder, whatever the duration in the Lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Both clocks of the machine, as arguments."""

    monotonic: Callable[[], float]
    now: Callable[[], datetime]


class Leadership:
    """One candidate."""

    def __init__(self, store: LeaseStore, identity: str, timing: Timing, clock: Clock) -> None:
        self._store = store
        self._identity = identity
        self._timing = timing
        self._clock = clock
        self._seen: tuple[object, ...] | None = None
        self._seen_at = 0.0
        self._renewed_at = 0.0
        self._trouble = ""
        self.is_held = False

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Works whenever it leads, until cancelled; then releases the Lease for another replica."""
        try:
            while True:
                self._renewed_at = await self._acquire()
                self.is_held = True
                say("leadership acquired", identity=self._identity)
                await self._work_while_held(work)
                say("leadership lost", identity=self._identity)
        finally:
            if self.is_held:
                self.is_held = False
                await self._release()

    async def try_hold(self) -> bool:
        """One try to get or renew the Lease; returns whether this replica holds it now."""
        lease = await self._store.read()
        spec = _spec_of(lease)
        if spec.get("holderIdentity") not in (None, "", self._identity):
            self._look_at(spec)
            if self._clock.monotonic() < self._seen_at + self._lasts(spec):
                return False
        try:
            await self._store.write(self._claimed(lease))
        except Conflict:
            return False
        return True

    def check(self) -> None:
        """Called right before a write: detects that the process was paused for too long.

        Raises:
            NotLeading: another replica may lead by now.
        """
        if not self.is_held or self._clock.monotonic() >= self._deadline:
            raise NotLeading

    @property
    def _deadline(self) -> float:
        return self._renewed_at + self._timing.renew_deadline.total_seconds()

    async def _acquire(self) -> float:
        while True:
            tried_at = self._clock.monotonic()
            try:
                is_ours = await self.try_hold()
                self._trouble = ""
                if is_ours:
                    return tried_at
            except Exception as error:  # noqa: BLE001 - whatever it is, the next try may succeed
                self._say_trouble("lease not reached", error)
            await asyncio.sleep(self._timing.period.total_seconds())

    async def _work_while_held(self, work: Callable[[], Awaitable[None]]) -> None:
        working = asyncio.ensure_future(work())
        try:
            await self._renew_until_lost(working)
        finally:
            working.cancel()
            await asyncio.wait([working])
        if not working.cancelled() and (error := working.exception()) is not None:
            raise error
        self.is_held = False

    async def _renew_until_lost(self, working: asyncio.Future[None]) -> None:
        while True:
            done, _ = await asyncio.wait([working], timeout=self._timing.period.total_seconds())
            tried_at = self._clock.monotonic()
            if done or tried_at >= self._deadline:
                return
            try:
                async with asyncio.timeout(self._deadline - tried_at):
                    if not await self.try_hold():
                        return
                self._renewed_at = tried_at
                self._trouble = ""
            except Exception as error:  # noqa: BLE001 - there is time for another try, or there is not
                self._say_trouble("lease not renewed", error)

    async def _release(self) -> None:
        try:
            lease = await self._store.read()
            spec = _spec_of(lease)
            if spec.get("holderIdentity") == self._identity:
                await self._store.write({**(lease or {}), "spec": {**spec, "holderIdentity": ""}})
                say("leadership released", identity=self._identity)
        except Exception as error:  # noqa: BLE001 - then it expires
            say("lease not released", error=error)

    def _say_trouble(self, event: str, error: Exception) -> None:
        """Logs once for all tries that fail with the same error."""
        if self._trouble != (trouble := f"{event}: {error!r}"):
            self._trouble = trouble
            say(event, level=logging.WARNING, error=repr(error))

    def _look_at(self, spec: Body) -> None:
        seen = (spec.get("holderIdentity"), spec.get("renewTime"))
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._clock.monotonic()

    def _lasts(self, spec: Body) -> float:
        """Seconds after which its holder counts as lost.

        A Lease can be edited by hand: without a duration, or with one of years, no replica would
        lead.
        """
        duration = spec.get("leaseDurationSeconds")
        if not isinstance(duration, int) or duration <= 0:
            return self._timing.duration.total_seconds()
        return min(duration, self._timing.longest_duration.total_seconds())

    def _claimed(self, lease: Body | None) -> Manifest:
        before, now = _spec_of(lease), render_micro_time(self._clock.now())
        is_renewed = before.get("holderIdentity") == self._identity
        transitions = before.get("leaseTransitions")
        if not isinstance(transitions, int) or not 0 <= transitions < MOST_TRANSITIONS:
            transitions = 0
        # Hand-written fields are dropped: a Lease with them may be refused.
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(self._timing.duration.total_seconds()),
            "acquireTime": (before.get("acquireTime") if is_renewed else None) or now,
            "renewTime": now,
            "leaseTransitions": transitions if is_renewed else transitions + 1,
        }
        return {**(lease or {}), "spec": spec}


def _spec_of(lease: Body | None) -> Body:
    """Its spec, if any."""
    spec = (lease or {}).get("spec")
    return spec if isinstance(spec, Mapping) else {}
