# SPDX-License-Identifier: Apache-2.0
"""Signs of life of a node's ranks: written by the ranks, watched by the supervisor.

A rank that waits for ever (a peer that is gone, a mount that does not answer, a GPU that does not)
looks busy from outside. So each rank notes what it is doing whenever it gets on, and a rank whose
note grows older than any pause seen so far has hung.
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
"""What torch's own collectives wait for a peer (`ddp_timeout`)."""

LONGEST_PAUSES = 20
"""A rank has hung that pauses so many times as long as the longest pause that was seen."""


class Heart:
    """A rank's side: a file that says what it is doing."""

    SECONDS = 1.0
    """Between two notes of the same doing."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._written = 0.0

    def beat(self, doing: str) -> None:
        """Note that the rank has got on."""
        now = time.monotonic()
        if now - self._written >= self.SECONDS:
            self._written = now
            write_atomically(self._file, f"{os.getpid()} {doing}")

    def rest(self) -> None:
        """Nothing more is to be done here; whoever still works is not waited for."""
        self._file.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hung:
    """A rank that has stopped getting on."""

    rank: int
    seconds: float
    doing: str
    """What it last said."""


@dataclass(slots=True, kw_only=True)
class _Pulse:
    """What is known of one rank."""

    note: str = ""
    stamp: int = 0
    idle: float = 0.0


@dataclass(slots=True, kw_only=True)
class HeartWatch:
    """The supervisor's side. Time counts only while somebody looks: not when all were frozen."""

    workspace: Workspace
    ranks: Sequence[int]
    bound_seconds: float | None = None
    """None for one that follows from the pauses seen; 0 for none at all."""
    least_seconds: float = LEAST_BOUND_SECONDS
    """What a bound that follows from the pauses is at least."""
    _pulses: dict[int, _Pulse] = field(default_factory=dict)
    _longest: float = 0.0

    def look(self, elapsed_seconds: float) -> Hung | None:
        """The rank that has been still for longest, if all have been still for too long: while
        one gets on, the others may well wait for it."""
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
        """Let every rank that is watched write the stacks of its threads into its log."""
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
    """The bound that the environment sets, in seconds."""
    try:
        return max(0.0, float(environment[mounts.ENV_HANG_SECONDS]))
    except (KeyError, ValueError):
        return None
