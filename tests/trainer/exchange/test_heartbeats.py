# SPDX-License-Identifier: Apache-2.0
"""Ranks that hang are distinguished from slow ones."""

from pathlib import Path

import pytest

from finetune_trainer.exchange.heartbeats import LEAST_BOUND_SECONDS, Heart, HeartWatch, bound_of
from finetune_trainer.exchange.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(root=tmp_path)


def beat(workspace: Workspace, rank: int, doing: str = "training, step 3 of 9") -> None:
    Heart(workspace.heartbeat(rank)).beat(doing)


def watch(workspace: Workspace, *, ranks: int = 1, bound: float | None = 10) -> HeartWatch:
    return HeartWatch(workspace=workspace, ranks=range(ranks), bound_seconds=bound)


def test_a_rank_without_a_heartbeat_for_too_long_is_hung(workspace: Workspace) -> None:
    watching = watch(workspace)
    beat(workspace, 0)

    assert watching.look(1) is None
    assert watching.look(10) is None
    hung = watching.look(1)

    assert hung is not None
    assert (hung.rank, hung.seconds, hung.doing) == (0, 11, "training, step 3 of 9")


def test_a_rank_that_makes_progress_is_not_hung(workspace: Workspace) -> None:
    watching = watch(workspace)

    for step in range(5):
        beat(workspace, 0, f"training, step {step} of 9")
        assert watching.look(9) is None


def test_ranks_that_wait_for_a_running_one_are_not_hung(workspace: Workspace) -> None:
    watching = watch(workspace, ranks=2)
    beat(workspace, 1)

    for row in range(5):
        beat(workspace, 0, f"preparing the data, {row}")
        assert watching.look(9) is None


def test_the_first_rank_to_stop_is_named_when_all_are_hung(workspace: Workspace) -> None:
    watching = watch(workspace, ranks=2)
    beat(workspace, 0)
    beat(workspace, 1)
    watching.look(0)
    watching.look(5)
    beat(workspace, 0, "training, step 4 of 9")
    watching.look(5)

    hung = watching.look(11)

    assert hung is not None
    assert hung.rank == 1


def test_a_rank_that_has_not_started_or_is_done_is_ignored(workspace: Workspace) -> None:
    watching = watch(workspace)
    assert watching.look(100) is None
    beat(workspace, 0)
    watching.look(0)

    Heart(workspace.heartbeat(0)).rest()

    assert watching.look(100) is None


def test_the_limit_follows_the_longest_pause_so_far(workspace: Workspace) -> None:
    watching = watch(workspace, bound=None)
    beat(workspace, 0, "step 1")
    watching.look(0)
    assert watching.bound == LEAST_BOUND_SECONDS
    watching.look(600)
    beat(workspace, 0, "step 2")
    watching.look(1)

    assert watching.bound == 12_000


@pytest.mark.parametrize(
    ("environment", "bound"),
    [
        ({}, None),
        ({"FINETUNE_HANG_SECONDS": "90"}, 90),
        ({"FINETUNE_HANG_SECONDS": "0"}, 0),
        ({"FINETUNE_HANG_SECONDS": "soon"}, None),
    ],
)
def test_a_user_can_set_the_limit(environment: dict[str, str], bound: float | None) -> None:
    assert bound_of(environment) == bound


def test_a_limit_of_zero_disables_the_detection(workspace: Workspace) -> None:
    watching = watch(workspace, bound=0)
    beat(workspace, 0)
    watching.look(0)

    assert watching.look(10**6) is None
