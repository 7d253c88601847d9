# SPDX-License-Identifier: Apache-2.0
"""One round: a separate control plane, one side installed on it, and all measurements."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import aiohttp

from benchmarks.peers.load import Seen, get, session_of, start_jobs
from benchmarks.peers.processes import seconds_until_ready
from benchmarks.peers.sides import Side
from benchmarks.peers.stand_in import play
from benchmarks.peers.writes import writes_of
from testbed.control_plane import ControlPlane

STEADY_RATES = (20.0, 50.0)
WARM_UP = 10
_QUIET_SECONDS = 3.0
_PATIENCE_SECONDS = 300
_CHILDREN = ("/apis/batch/v1/namespaces/{}/jobs", "/api/v1/namespaces/{}/pods")


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some jobs, one after another or all at once."""

    cpu_ms_per_job: float
    latencies: list[float]
    writes: Counter[str]
    """All of them together."""
    seconds: float
    """From the first creation until the last batch Job exists, or the last job has ended."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """The results of one side."""

    jobs: int
    """In each part."""
    ready_seconds: float
    steady: Mapping[float, Part]
    burst: Part
    life: Part
    ready_mebibytes: float
    end_mebibytes: float

    def in_short(self) -> str:
        steady = ", ".join(f"{it.cpu_ms_per_job:.1f}" for it in self.steady.values())
        return (
            f"ready {self.ready_seconds:.2f} s; CPU ms per job: {steady} steady, "
            f"{self.burst.cpu_ms_per_job:.1f} burst, {self.life.cpu_ms_per_job:.1f} entire life"
        )


def measure(plane: ControlPlane, side: Side, jobs: int) -> Round:
    ready = seconds_until_ready(side.controllers)
    try:
        side.complete()
        return asyncio.run(_Measurement(plane, side, jobs).run(ready))
    finally:
        side.end()


class _Measurement:
    def __init__(self, plane: ControlPlane, side: Side, jobs: int) -> None:
        self._plane, self._side, self._jobs = plane, side, jobs

    async def run(self, ready_seconds: float) -> Round:
        async with session_of(self._plane) as session:
            self._make("warm-up")
            await start_jobs(session, self._side, "warm-up", WARM_UP, None)
            await self._rest()
            ready_mebibytes = self._side.resident_mebibytes()
            await self._delete(session, "warm-up")
            steady = {
                rate: await self._part(session, f"steady-{rate:.0f}", rate) for rate in STEADY_RATES
            }
            burst = await self._part(session, "burst", None)
            life = await self._life(session)
            return Round(
                jobs=self._jobs,
                ready_seconds=ready_seconds,
                steady=steady,
                burst=burst,
                life=life,
                ready_mebibytes=ready_mebibytes,
                end_mebibytes=self._side.resident_mebibytes(),
            )

    async def _part(
        self, session: aiohttp.ClientSession, namespace: str, rate: float | None
    ) -> Part:
        self._make(namespace)
        used = self._side.cpu_seconds()
        seen = await start_jobs(session, self._side, namespace, self._jobs, rate)
        seconds = max(seen.started.values()) - min(seen.sent.values())
        await self._rest()
        part = self._so_far(namespace, used, seen, seconds)
        await self._delete(session, namespace)
        return part

    async def _life(self, session: aiohttp.ClientSession) -> Part:
        """As a burst, with simulated pods until they end."""
        self._make("life")
        used, begin = self._side.cpu_seconds(), time.monotonic()
        player = asyncio.create_task(play(session, "life"))
        try:
            seen = await start_jobs(session, self._side, "life", self._jobs, None)
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while not await self._have_ended(session):
                    await asyncio.sleep(1)
                    if player.done():
                        player.result()
            seconds = time.monotonic() - begin
        finally:
            player.cancel()
            with suppress(asyncio.CancelledError):
                await player
        await self._rest()
        return self._so_far("life", used, seen, seconds)

    async def _have_ended(self, session: aiohttp.ClientSession) -> bool:
        jobs = await get(session, self._side.resource.format("life"))
        return all(self._side.has_ended_well(job) for job in jobs["items"])

    def _so_far(self, namespace: str, used: float, seen: Seen, seconds: float) -> Part:
        return Part(
            cpu_ms_per_job=(self._side.cpu_seconds() - used) * 1000 / self._jobs,
            latencies=seen.latencies(),
            writes=writes_of(self._side.accounts, self._plane.audit(), {namespace}),
            seconds=seconds,
        )

    async def _rest(self) -> None:
        """Until there was no write for a while."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            since, size = time.monotonic(), -1
            while time.monotonic() - since < _QUIET_SECONDS:
                await asyncio.sleep(0.1)
                now = self._plane.audit_log.stat().st_size
                if now != size:
                    since, size = time.monotonic(), now

    async def _delete(self, session: aiohttp.ClientSession, namespace: str) -> None:
        """With all children, whose deletion is no work of the next part: kube-controller-manager
        begins with it up to half a minute later.
        """
        async with session.delete(self._side.resource.format(namespace)) as answer:
            answer.raise_for_status()
        async with asyncio.timeout(_PATIENCE_SECONDS):
            has_children = True
            while has_children:
                await asyncio.sleep(0.5)
                paths = (path.format(namespace) for path in _CHILDREN)
                has_children = any([(await get(session, it, limit="1"))["items"] for it in paths])
        await self._rest()

    def _make(self, namespace: str) -> None:
        self._plane.kubectl("create", "namespace", namespace)
