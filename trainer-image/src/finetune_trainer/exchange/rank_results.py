# SPDX-License-Identifier: Apache-2.0
"""The result that each rank writes at its end, and which of them is the cause. No I/O here.

The launcher turns every exit code into 1, so exit codes are not used.
"""

import json
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from finetune_contract.codec import document_of, read
from finetune_contract.notes import Note
from finetune_contract.outcome import Failure
from finetune_contract.reasons import Reason

CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
"""Signals by which native code ends itself."""


class RankEnding(StrEnum):
    """How a rank ended."""

    RUNNING = "Running"
    """Written at its start: a rank that has ended with this state was killed."""
    FINISHED = "Finished"
    STOPPED = "Stopped"
    """At a step boundary, on request; its checkpoint is saved."""
    FAILED = "Failed"
    REJECTED = "Rejected"
    """Trained to the end, but the saved artifact is unusable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankResult:
    """The result of one rank."""

    rank: int
    time: float
    """Seconds since the epoch."""
    ending: RankEnding
    failure: Failure | None = None
    step: int = 0
    total_steps: int = 0
    verified: bool = False
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Numbers in their original type: an int stays one."""
    signal: int = 0
    """The signal that killed it, if the supervisor saw it: a killed rank writes nothing
    itself.
    """
    note: str = ""
    """A note on a success, for example that it stopped early."""
    notes: tuple[Note, ...] = ()
    """Notes for its user, for example about rows that were left out."""
    attention: str = ""
    """The attention implementation and the reason; empty until the model is trained."""

    def telling(self, *notes: Note) -> "RankResult":
        """The same with these notes after its own."""
        return replace(self, notes=(*self.notes, *notes))

    def noting(self, *notes: str) -> "RankResult":
        """The same with these notes after its own; empty ones add nothing."""
        return replace(self, note="; ".join(filter(None, (self.note, *notes))))

    def to_json(self) -> str:
        document = document_of(self)
        del document["signal"]
        for key in ("notes", "attention"):
            if not document[key]:
                del document[key]
        return json.dumps(document)

    @classmethod
    def from_json(cls, text: str | bytes) -> "RankResult":
        return read(cls, text, "rank result")


def cause_of_failure(
    results: Sequence[RankResult], expected_ranks: Sequence[int], world_size: int
) -> Failure:
    """Why the ranks of this node failed, as one failure.

    Precedence: the first rank by time that failed by itself; a rank that was killed; a rank that
    lost a peer on another node; ranks that never began.
    """
    failed = [
        replace(result.failure, rank=result.rank)
        for result in sorted(results, key=lambda result: result.time)
        if result.failure is not None
    ]
    for failure in failed:
        if failure.reason != Reason.PEER_LOST:
            return failure
    killed = [result for result in results if result.ending is RankEnding.RUNNING]
    if killed and len(results) == len(expected_ranks):
        return _killed(killed)
    if failed:
        return failed[0]
    if world_size == 1:
        # It found no peer: that one ended before it could report its start.
        return _killed([RankResult(rank=0, time=0, ending=RankEnding.RUNNING)])
    return Reason.RENDEZVOUS_FAILED.failure(
        "the ranks did not start: they could not connect to each other",
        "check that every node's pod runs and that NetworkPolicies allow traffic between them",
    )


def _killed(results: Sequence[RankResult]) -> Failure:
    # The launcher ends the others with SIGTERM after one has ended.
    first = [result for result in results if result.signal not in (0, signal.SIGTERM)]
    known = first or [result for result in results if result.signal] or results
    rank = known[0].rank if len(known) == 1 else None
    named = "a rank" if rank is None else f"rank {rank}"
    by = f" ({signal.Signals(known[0].signal).name})" if len(known) == 1 and known[0].signal else ""
    if known[0].signal in CRASHES:
        return Reason.RANK_CRASHED.failure(
            f"{named} crashed in native code{by}",
            "check the end of the trainer's log, and the node's GPU and driver",
            rank=rank,
        )
    return Reason.RANK_KILLED.failure(
        f"{named} was killed by a signal{by}, most likely because the node's memory ran out",
        "raise spec.resources.memory, or lower per_device_train_batch_size or max_length",
        rank=rank,
    )
