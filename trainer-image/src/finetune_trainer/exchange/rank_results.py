# SPDX-License-Identifier: Apache-2.0
"""Each rank's own account of how it ended, and which of them tells the cause. No I/O here.

The launcher turns every exit code into 1, so nothing is read from it.
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
"""What native code ends with by its own doing."""


class RankEnding(StrEnum):
    """How a rank ended."""

    RUNNING = "Running"
    """Written at its start: a rank that is gone and still says so was killed."""
    FINISHED = "Finished"
    STOPPED = "Stopped"
    """At a step boundary, because it was asked to; its checkpoint is saved."""
    FAILED = "Failed"
    REJECTED = "Rejected"
    """Trained to the end, and what it saved is not fit for use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankResult:
    """What one rank says about itself."""

    rank: int
    time: float
    """Seconds since the epoch."""
    ending: RankEnding
    failure: Failure | None = None
    step: int = 0
    total_steps: int = 0
    verified: bool = False
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Numbers as they were counted: an int stays one."""
    signal: int = 0
    """What killed it, where the supervisor knows: a killed rank says nothing itself."""
    note: str = ""
    """What is to be known of a success, such as that it stopped early."""
    notes: tuple[Note, ...] = ()
    """What its user should know besides, such as rows that were left out."""
    attention: str = ""
    """Which one was taken, and why; empty until the model is trained."""

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

    Precedence: the first rank by time that failed of itself; a rank that was killed; a rank that
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
        # There was nobody for it to find: it was gone before it could say that it had begun.
        return _killed([RankResult(rank=0, time=0, ending=RankEnding.RUNNING)])
    return Reason.RENDEZVOUS_FAILED.failure(
        "the ranks did not start: they could not connect to each other",
        "check that every node's pod runs and that NetworkPolicies allow traffic between them",
    )


def _killed(results: Sequence[RankResult]) -> Failure:
    # The launcher ends the others with SIGTERM once one is gone.
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
