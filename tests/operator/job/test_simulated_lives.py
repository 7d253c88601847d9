# SPDX-License-Identifier: Apache-2.0
"""For all events in all orders: never two attempts at a time, and always an end."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.simulated_actions import ACTIONS
from support.simulated_world import World

STEPS = 40


def live(nodes: int, steps: list[tuple[int, int]]) -> World:
    world = World(nodes=nodes)
    for action, number in steps:
        ACTIONS[action](world, number)
        world.check()
    world.settle()
    return world


a_life = given(
    nodes=st.sampled_from([1, 2]),
    steps=st.lists(st.tuples(st.integers(0, len(ACTIONS) - 1), st.integers(0, 11)), max_size=STEPS),
)


@a_life
def test_two_attempts_never_run_at_a_time_and_every_job_ends(
    nodes: int, steps: list[tuple[int, int]]
) -> None:
    world = live(nodes, steps)

    statuses = world.api.writes.count("status")
    assert statuses <= 12 * (STEPS + 1)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_thousands_of_simulated_lives_hold_the_same_invariants(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    for _ in range(200):
        steps = [
            (chance.randrange(len(ACTIONS)), chance.randrange(12))
            for _ in range(chance.randrange(200))
        ]
        live(chance.choice([1, 2]), steps)
