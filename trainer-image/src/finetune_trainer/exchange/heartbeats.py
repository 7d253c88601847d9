# SPDX-License-Identifier: Apache-2.0
"""Heartbeats of a node's ranks: written by the ranks, watched by the supervisor.

A rank that waits forever (for a lost peer, a mount or a GPU that does not respond) looks busy from
outside. So each rank notes its activity whenever it makes progress, and a rank whose note is much
older than any pause seen so far has hung.
"""

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from finetune_contract import mounts
from finetune_trainer.exchange.workspace import Workspace, write_atomically

LEAST_BOUND_SECONDS = 1800.0
"""The timeout of torch's own collectives for a peer (`ddp_timeout`)."""

LONGEST_PAUSES = 20
"""A rank has hung if its pause is this many times the longest pause that was seen."""


class Heart:
    """A rank's side: a file with its current activity."""

    SECONDS = 1.0
    """Minimum time between two notes of the same activity."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._written = 0.0

    def beat(self, doing: str) -> None:
        """Notes that the rank has made progress."""
        now = time.monotonic()
        if now - self._written >= self.SECONDS:
            self._written = now
            write_atomically(self._file, f"{os.getpid()} {doing}")

    def rest(self) -> None:
        """Nothing remains to be done here; the supervisor does not wait for ranks that still
        work.
        """
        self._file.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hung:
    """A rank without progress."""

    rank: int
    seconds: float
    doing: str
    """Its last activity."""


@dataclass(slots=True, kw_only=True)
class _Pulse:
    """The state of one rank."""

    note: str = ""
    stamp: int = 0
    idle: float = 0.0


@dataclass(slots=True, kw_only=True)
class HeartWatch:
    """The supervisor's side. Time counts only while the supervisor runs: not while all were
    frozen.
    """

    workspace: Workspace
    ranks: Sequence[int]
    bound_seconds: float | None = None
    """None for a bound derived from the pauses seen; 0 for no bound."""
    least_seconds: float = LEAST_BOUND_SECONDS
    """The minimum of a bound that is derived from the pauses."""
    _pulses: dict[int, _Pulse] = field(default_factory=dict)
    _longest: float = 0.0

    def look(self, elapsed_seconds: float) -> Hung | None:
        """The rank that has been still for longest, if all have been still for too long: while one
        makes progress, the others may be waiting for it.
        """
        for rank in self.ranks:
            self._look_at(rank, elapsed_seconds)
        stillest = min((pulse.idle for pulse in self._pulses.values()), default=0.0)
        if not self.bound or stillest <= self.bound:
            return None
        rank, pulse = max(self._pulses.items(), key=lambda item: item[1].idle)
        return Hung(rank=rank, seconds=pulse.idle, doing=pulse.note.partition(" ")[2])

    @property
    def bound(self) -> float:
        if self.bound_seconds is not None:
            return self.bound_seconds
        return max(self.least_seconds, LONGEST_PAUSES * self._longest)

    def tell_where(self) -> None:
        """Makes every watched rank write the stacks of its threads into its log."""
        for pulse in self._pulses.values():
            with contextlib.suppress(ProcessLookupError, ValueError):
                os.kill(int(pulse.note.partition(" ")[0]), signal.SIGUSR1)

    def _look_at(self, rank: int, elapsed_seconds: float) -> None:
        file = self.workspace.heartbeat(rank)
        try:
            stamp, note = file.stat().st_mtime_ns, file.read_text()
        except FileNotFoundError:
            self._pulses.pop(rank, None)
            return
        pulse = self._pulses.setdefault(rank, _Pulse())
        if stamp == pulse.stamp:
            pulse.idle += elapsed_seconds
            return
        self._longest = max(self._longest, pulse.idle)
        pulse.note, pulse.stamp, pulse.idle = note, stamp, 0.0


def bound_of(environment: Mapping[str, str]) -> float | None:
    """The bound from the environment, in seconds."""
    try:
        return max(0.0, float(environment[mounts.ENV_HANG_SECONDS]))
    except (KeyError, ValueError):
        return None
