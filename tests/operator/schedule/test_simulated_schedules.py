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
def test_whatever_happens_each_time_has_one_job_at_most_and_policies_hold(
    seed: int, steps: int
) -> None:
    worlds = [live(number, steps) for number in range(seed, seed + 3)]

    # Otherwise it would also be true for worlds in which nothing is ever due.
    assert sum(len(world.made) for world in worlds) > steps / 5


@pytest.mark.soak
def test_many_more_lives_hold_too() -> None:
    for seed in range(1000, 1150):
        live(seed, steps=150)
