# SPDX-License-Identifier: Apache-2.0
"""Each rank's own account of how it ended, and which of them tells the cause. No I/O here.

The launcher turns every exit code into 1, so nothing is read from it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from finetune_contract.documents import optional, parse_object, require
from finetune_contract.outcome import PEER_LOST, Blame, Failure


class Ending(StrEnum):
    """How a rank ended."""

    RUNNING = "Running"
    """Written at its start: a rank that is gone and still says so was killed."""
    FINISHED = "Finished"
    STOPPED = "Stopped"
    """At a step boundary, because it was asked to; its checkpoint is saved."""
    FAILED = "Failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RankResult:
    """What one rank says about itself."""

    rank: int
    time: float
    """Seconds since the epoch."""
    ending: Ending
    failure: Failure | None = None
    step: int = 0
    total_steps: int = 0
    verified: bool = False
    figures: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(
            {
                "rank": self.rank,
                "time": self.time,
                "ending": self.ending.value,
                "failure": self.failure and self.failure.to_document(),
                "step": self.step,
                "totalSteps": self.total_steps,
                "verified": self.verified,
                "figures": dict(self.figures),
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> "RankResult":
        document = parse_object(text, "rank result")
        failure = optional(document, "failure", dict)
        return cls(
            rank=require(document, "rank", int),
            time=require(document, "time", float),
            ending=Ending(require(document, "ending", str)),
            failure=None if failure is None else Failure.from_document(failure),
            step=require(document, "step", int),
            total_steps=require(document, "totalSteps", int),
            verified=require(document, "verified", bool),
            figures=require(document, "figures", dict),
        )


def cause_of_failure(results: Sequence[RankResult], expected_ranks: Sequence[int]) -> Failure:
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
        if failure.reason != PEER_LOST:
            return failure
    killed = [result.rank for result in results if result.ending is Ending.RUNNING]
    if killed and len(results) == len(expected_ranks):
        return _killed(killed)
    if failed:
        return failed[0]
    return Failure(
        blame=Blame.INFRASTRUCTURE,
        reason="RendezvousFailed",
        message="the ranks never began: they did not find each other",
        remedy="check that every node's pod runs and that a NetworkPolicy lets them talk",
    )


def _killed(ranks: Sequence[int]) -> Failure:
    # The launcher ends the others once one is gone, so with several nobody can say which was first.
    named = f"rank {ranks[0]} was" if len(ranks) == 1 else "a rank was"
    return Failure(
        blame=Blame.INFRASTRUCTURE,
        reason="RankKilled",
        message=f"{named} killed by a signal, most often because the node's memory ran out",
        remedy="raise spec.resources.memory, or lower per_device_train_batch_size or max_length",
        rank=ranks[0] if len(ranks) == 1 else None,
    )
