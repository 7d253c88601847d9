# SPDX-License-Identifier: Apache-2.0
import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from finetune_operator.work_queue import LONGEST_BACKOFF, WorkQueue
from support.factories import seconds


def play(scene: Callable[[WorkQueue[str]], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(5):
            await scene(WorkQueue())

    asyncio.run(run())


async def next_key(queue: WorkQueue[str]) -> str:
    async with queue.take() as key:
        return key


async def is_idle(queue: WorkQueue[str]) -> bool:
    try:
        async with asyncio.timeout(0.02):
            await next_key(queue)
    except TimeoutError:
        return True
    return False


def test_a_key_added_repeatedly_is_processed_once() -> None:
    async def scene(queue: WorkQueue[str]) -> None:
        for _ in range(3):
            queue.add("a")
        queue.add("b")

        assert [await next_key(queue), await next_key(queue)] == ["a", "b"]
        assert await is_idle(queue)

    play(scene)


def test_two_workers_never_have_the_same_key() -> None:
    async def scene(queue: WorkQueue[str]) -> None:
        queue.add("a")
        async with queue.take():
            queue.add("a")
            assert await is_idle(queue)

        assert await next_key(queue) == "a"

    play(scene)


def test_a_key_added_during_its_processing_is_processed_once_afterwards() -> None:
    async def scene(queue: WorkQueue[str]) -> None:
        queue.add("a")
        async with queue.take():
            queue.add("a")
            queue.add("a")

        assert await next_key(queue) == "a"
        assert await is_idle(queue)

    play(scene)


def test_a_key_is_free_again_after_a_failure() -> None:
    async def scene(queue: WorkQueue[str]) -> None:
        queue.add("a")
        try:
            async with queue.take():
                raise ValueError
        except ValueError:
            queue.add("a")

        assert await next_key(queue) == "a"

    play(scene)


def test_a_delayed_key_is_processed_later() -> None:
    async def scene(queue: WorkQueue[str]) -> None:
        queue.add_after("a", seconds(0.05))

        assert await is_idle(queue)
        assert await next_key(queue) == "a"
        assert await is_idle(queue)

    play(scene)


def test_the_shorter_of_two_delays_wins() -> None:
    async def scene(queue: WorkQueue[str]) -> None:
        queue.add_after("a", seconds(60))
        queue.add_after("a", seconds(0.01))
        queue.add_after("a", seconds(60))

        assert await next_key(queue) == "a"

    play(scene)


def test_an_event_replaces_a_delay() -> None:
    async def scene(queue: WorkQueue[str]) -> None:
        queue.add_after("a", seconds(0.03))
        queue.add("a")

        assert await next_key(queue) == "a"
        await asyncio.sleep(0.05)
        assert await is_idle(queue)

    play(scene)


def test_the_backoff_doubles_up_to_a_limit_until_it_is_reset() -> None:
    async def scene(queue: WorkQueue[str]) -> None:
        delays = [queue.retry("a") for _ in range(50)]
        assert delays[:3] == [seconds(0.1), seconds(0.2), seconds(0.4)]
        assert delays[-1] == LONGEST_BACKOFF

        queue.forget_failures("a")
        assert queue.retry("a") == seconds(0.1)

    play(scene)


def test_workers_wait_for_work() -> None:
    async def scene(queue: WorkQueue[str]) -> None:
        workers = [asyncio.create_task(next_key(queue)) for _ in range(3)]
        await asyncio.sleep(0)
        for key in "abc":
            queue.add(key)

        assert sorted(await asyncio.gather(*workers)) == ["a", "b", "c"]

    play(scene)


def test_the_longest_work_reveals_a_stuck_worker() -> None:
    async def scene(queue: WorkQueue[str]) -> None:
        assert queue.longest_work() == seconds(0)
        queue.add("a")
        async with queue.take():
            await asyncio.sleep(0.02)
            assert queue.longest_work() >= seconds(0.02)

    play(scene)


class Meter:
    """Records its calls, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float]] = []

    def note_add(self) -> None:
        self.told.append(("add", 0))

    def note_retry(self) -> None:
        self.told.append(("retry", 0))

    def note_taken(self, waited: float) -> None:
        self.told.append(("waited", waited))

    def note_done(self, worked: float) -> None:
        self.told.append(("worked", worked))


class HandClock:
    """Advances only on request."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def play_metered(scene: Callable[[WorkQueue[str], HandClock], Awaitable[None]]) -> Meter:
    meter, clock = Meter(), HandClock()

    async def run() -> None:
        async with asyncio.timeout(5):
            await scene(WorkQueue(meter, clock), clock)

    asyncio.run(run())
    return meter


def test_a_key_waits_from_its_first_add_and_is_counted_once_until_it_is_taken() -> None:
    async def scene(queue: WorkQueue[str], clock: HandClock) -> None:
        queue.add("a")
        clock.now += 2
        queue.add("a")
        clock.now += 1
        async with queue.take():
            clock.now += 5

    assert play_metered(scene).told == [("add", 0), ("waited", 3), ("worked", 5)]


def test_a_key_added_during_its_processing_is_counted_and_waits_until_the_end() -> None:
    async def scene(queue: WorkQueue[str], clock: HandClock) -> None:
        queue.add("a")
        async with queue.take():
            queue.add("a")
            assert queue.depth() == 1
            clock.now += 4
        assert await next_key(queue) == "a"

    told = play_metered(scene).told
    assert told[-3:] == [("worked", 4), ("waited", 4), ("worked", 0)]
    assert told.count(("add", 0)) == 2


def test_processing_that_raises_is_measured_too() -> None:
    async def scene(queue: WorkQueue[str], clock: HandClock) -> None:
        queue.add("a")
        with suppress(RuntimeError):
            async with queue.take():
                clock.now += 7
                raise RuntimeError

    assert play_metered(scene).told[-1] == ("worked", 7)


def test_retries_after_failures_are_counted_and_planned_checks_are_not() -> None:
    async def scene(queue: WorkQueue[str], clock: HandClock) -> None:
        queue.retry("a")
        queue.add_after("b", seconds(3600))

    assert play_metered(scene).told == [("retry", 0)]


def test_unfinished_work_sums_all_workers_and_the_longest_is_a_single_one() -> None:
    async def scene(queue: WorkQueue[str], clock: HandClock) -> None:
        assert queue.unfinished_work() == queue.longest_work() == seconds(0)
        queue.add("a")
        queue.add("b")
        async with queue.take():
            clock.now += 2
            async with queue.take():
                clock.now += 3
                assert queue.longest_work() == seconds(5)
                assert queue.unfinished_work() == seconds(8)
        assert queue.unfinished_work() == seconds(0)

    play_metered(scene)


def test_a_new_leader_measures_no_waiting_time_from_before() -> None:
    async def scene(queue: WorkQueue[str], clock: HandClock) -> None:
        queue.add("a")
        clock.now += 3600
        queue.begin_waits()
        clock.now += 1
        assert await next_key(queue) == "a"

    assert play_metered(scene).told == [("add", 0), ("waited", 1), ("worked", 0)]
