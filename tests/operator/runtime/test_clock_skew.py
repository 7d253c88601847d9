# SPDX-License-Identifier: Apache-2.0
"""Replicas whose wall clocks are minutes apart take turns at one job."""

from datetime import datetime, timedelta

import pytest

from finetune_contract.outcome import Outcome
from finetune_operator.objects.reconciled import Reconciled
from support import operator_passes
from support.factories import (
    NOW,
    a_bad_outcome,
    a_good_outcome,
    a_job_body,
    a_training_job,
    an_ended_pod,
    seconds,
)
from support.fake_cluster import FakeCluster
from support.operator_passes import settle

SKEWS = [
    pytest.param(timedelta(minutes=5), id="ahead"),
    pytest.param(timedelta(minutes=-5), id="behind"),
]


def go(cluster: FakeCluster, now: datetime) -> Reconciled:
    done = operator_passes.go(cluster, now)
    assert done is not None
    return done


def end_attempt(cluster: FakeCluster, number: int, outcome: Outcome, at: datetime) -> None:
    """Simulates kubelet and Job controller, by their own clock."""
    pod = an_ended_pod(outcome.exit_code, message=outcome.to_json(), at=at, attempt=number)
    cluster.objects["Pod", pod["metadata"]["name"]] = pod
    ended = "Complete" if outcome.failure is None else "Failed"
    job = cluster.objects["Job", f"balloon-{number}"]
    job["status"] = a_training_job(number, ended=ended, at=at)["status"]


@pytest.mark.parametrize("skew", SKEWS)
def test_a_successor_with_another_clock_rewrites_nothing(skew: timedelta) -> None:
    cluster = FakeCluster(a_job_body())
    settle(cluster, NOW)
    cluster.writes.clear()

    go(cluster, NOW + skew)

    assert cluster.writes == []
    assert len(cluster.training_jobs()) == 1


@pytest.mark.parametrize("skew", SKEWS)
def test_a_job_is_retried_once_and_succeeds_with_replicas_of_different_clocks(
    skew: timedelta,
) -> None:
    cluster, passed = FakeCluster(a_job_body()), timedelta()
    settle(cluster, NOW)
    end_attempt(cluster, 1, a_bad_outcome(), NOW)

    for turn in range(120):
        passed += seconds(10)
        go(cluster, NOW + passed + (skew if turn % 2 else timedelta()))
        assert len(cluster.training_jobs()) <= 2
    assert len(cluster.training_jobs()) == 2
    end_attempt(cluster, 2, a_good_outcome(), NOW + passed)
    settle(cluster, NOW + passed + skew)

    assert cluster.status["phase"] == "Succeeded"
    for turn in range(10):
        assert not go(cluster, NOW + passed + (skew if turn % 2 else timedelta())).has_written


@pytest.mark.parametrize("skew", SKEWS)
def test_a_clock_that_is_minutes_off_delays_a_retry_by_no_more_than_that(skew: timedelta) -> None:
    cluster = FakeCluster(a_job_body())
    settle(cluster, NOW)
    end_attempt(cluster, 1, a_bad_outcome(), NOW)
    honest = wait_of(cluster, NOW)
    assert honest > timedelta()

    assert wait_of(cluster, NOW + skew) <= honest + abs(skew)


def wait_of(cluster: FakeCluster, now: datetime) -> timedelta:
    settle(cluster, now)
    return go(cluster, now).check_again_in or timedelta()
