# SPDX-License-Identifier: Apache-2.0
"""One listing has one end, for any number of objects."""

import asyncio

from finetune_operator.runtime.relisting import QUIET_SECONDS, Relisting


class Clock:
    """A sleep during which the next number of objects is listed."""

    def __init__(self, *listed: int) -> None:
        self.listed = list(listed)
        self.slept = 0.0
        self.relisting = Relisting(self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds
        for _ in range(self.listed.pop(0)):
            self.relisting.note()


def test_a_long_listing_ends_once_it_has_been_quiet() -> None:
    async def scene() -> None:
        clock = Clock(1000, 2000, 1, 0)
        clock.relisting.note()

        await clock.relisting.wait_for_end()

        assert clock.listed == []
        assert clock.slept == 4 * QUIET_SECONDS
        assert not await has_ended_again(clock)

    asyncio.run(scene())


def test_each_further_listing_has_its_own_end() -> None:
    async def scene() -> None:
        clock = Clock(0, 3, 0)
        for _ in range(2):
            clock.relisting.note()
            await clock.relisting.wait_for_end()

        assert clock.listed == []

    asyncio.run(scene())


def test_without_a_listing_there_is_no_end() -> None:
    assert not asyncio.run(has_ended_again(Clock()))


async def has_ended_again(clock: Clock) -> bool:
    waiting = asyncio.ensure_future(clock.relisting.wait_for_end())
    for _ in range(10):
        await asyncio.sleep(0)
    has_ended = waiting.done()
    waiting.cancel()
    return has_ended
