# SPDX-License-Identifier: Apache-2.0
"""The result of the rank that caused a failure is selected."""

import re
from dataclasses import replace

import pytest

from finetune_contract.outcome import Category, Failure
from finetune_trainer.exchange.rank_results import RankEnding, RankResult, cause_of_failure

OUT_OF_MEMORY = Failure(
    category=Category.OUT_OF_MEMORY, reason="OutOfMemory", message="m", remedy="r"
)
PEER_LOST = Failure(category=Category.INFRASTRUCTURE, reason="PeerLost", message="m", remedy="r")
USER = Failure(category=Category.USER, reason="InvalidConfig", message="m", remedy="r")


def failed(rank: int, time: float, failure: Failure) -> RankResult:
    return RankResult(rank=rank, time=time, ending=RankEnding.FAILED, failure=failure)


def running(rank: int) -> RankResult:
    return RankResult(rank=rank, time=0, ending=RankEnding.RUNNING)


@pytest.mark.parametrize(
    ("results", "reason", "rank"),
    [
        pytest.param(
            [failed(0, 9, USER), failed(1, 5, OUT_OF_MEMORY)], "OutOfMemory", 1, id="first by time"
        ),
        pytest.param(
            [failed(0, 5, PEER_LOST), failed(1, 6, USER)], "InvalidConfig", 1, id="echoes come last"
        ),
        pytest.param(
            [failed(0, 5, PEER_LOST), running(1)], "RankKilled", 1, id="killed before its echo"
        ),
        pytest.param([running(0), running(1)], "RankKilled", None, id="nobody knows which"),
        pytest.param(
            [failed(0, 5, PEER_LOST), failed(1, 6, PEER_LOST)], "PeerLost", 0, id="another node"
        ),
        pytest.param([], "RendezvousFailed", None, id="none began"),
    ],
)
def test_the_cause_is_the_first_independent_failure(
    results: list[RankResult], reason: str, rank: int | None
) -> None:
    failure = cause_of_failure(results, range(2), world_size=2)

    assert (failure.reason, failure.rank) == (reason, rank)


def test_a_single_rank_that_never_started_was_killed() -> None:
    failure = cause_of_failure([], range(1), world_size=1)

    assert (failure.reason, failure.rank) == ("RankKilled", 0)


def test_the_supervisor_reads_the_result_a_rank_wrote() -> None:
    result = RankResult(
        rank=3,
        time=12.5,
        ending=RankEnding.FAILED,
        failure=USER,
        step=4,
        total_steps=8,
        figures={"loss": 0.5},
    )

    assert RankResult.from_json(result.to_json()) == result


@pytest.mark.parametrize(
    ("signals", "reason", "words"),
    [
        ({0: 0, 1: 9}, "RankKilled", r"rank 1 was killed by a signal \(SIGKILL\)"),
        ({0: 15, 1: 11}, "RankCrashed", r"rank 1 crashed in native code \(SIGSEGV\)"),
        ({0: 6, 1: 0}, "RankCrashed", r"rank 0 crashed in native code \(SIGABRT\)"),
        ({0: 9, 1: 9}, "RankKilled", r"^a rank was killed by a signal, most likely"),
    ],
)
def test_a_rank_that_received_a_signal_is_named(
    signals: dict[int, int], reason: str, words: str
) -> None:
    results = [replace(running(rank), signal=number) for rank, number in signals.items()]

    failure = cause_of_failure(results, range(2), world_size=2)

    assert failure.reason == reason
    assert re.search(words, failure.message)
