# SPDX-License-Identifier: Apache-2.0
"""Complete lives of a schedule: years of edits, crashes between any two writes, and wrong
clocks.
"""

import pytest

from support.simulated_schedule import live


@pytest.mark.parametrize(
    "seed", [0, 3, *(pytest.param(it, marks=pytest.mark.long) for it in (6, 9))]
)
@pytest.mark.parametrize("steps", [20, pytest.param(50, marks=pytest.mark.long)])
def test_each_time_has_at_most_one_job_and_the_policies_hold_in_any_life(
    seed: int, steps: int
) -> None:
    worlds = [live(number, steps) for number in range(seed, seed + 3)]

    # Otherwise it would also be true for worlds in which nothing is ever due.
    assert sum(len(world.made) for world in worlds) > steps / 5


@pytest.mark.soak
def test_many_more_simulated_lives_hold_the_same_invariants() -> None:
    for seed in range(1000, 1150):
        live(seed, steps=150)
