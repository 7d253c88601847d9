# SPDX-License-Identifier: Apache-2.0
import asyncio
from collections.abc import Awaitable, Callable

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


def test_key_that_is_added_often_is_worked_on_once() -> None:
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


def test_what_arrives_during_the_work_is_worked_on_once_afterwards() -> None:
    async def scene(queue: WorkQueue[str]) -> None:
        queue.add("a")
        async with queue.take():
            queue.add("a")
            queue.add("a")

        assert await next_key(queue) == "a"
        assert await is_idle(queue)

    play(scene)


def test_key_is_free_again_after_a_failure() -> None:
    async def scene(queue: WorkQueue[str]) -> None:
        queue.add("a")
        try:
            async with queue.take():
                raise ValueError
        except ValueError:
            queue.add("a")

        assert await next_key(queue) == "a"

    play(scene)


def test_delayed_key_comes_later() -> None:
    async def scene(queue: WorkQueue[str]) -> None:
        queue.add_after("a", seconds(0.05))

        assert await is_idle(queue)
        assert await next_key(queue) == "a"
        assert await is_idle(queue)

    play(scene)


def test_of_two_delays_the_shorter_holds() -> None:
    async def scene(queue: WorkQueue[str]) -> None:
        queue.add_after("a", seconds(60))
        queue.add_after("a", seconds(0.01))
        queue.add_after("a", seconds(60))

        assert await next_key(queue) == "a"

    play(scene)


def test_event_comes_before_a_delay_and_replaces_it() -> None:
    async def scene(queue: WorkQueue[str]) -> None:
        queue.add_after("a", seconds(0.03))
        queue.add("a")

        assert await next_key(queue) == "a"
        await asyncio.sleep(0.05)
        assert await is_idle(queue)

    play(scene)


def test_backoff_doubles_up_to_a_limit_until_it_is_forgotten() -> None:
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


def test_longest_work_shows_a_stuck_worker() -> None:
    async def scene(queue: WorkQueue[str]) -> None:
        assert queue.longest_work() == seconds(0)
        queue.add("a")
        async with queue.take():
            await asyncio.sleep(0.02)
            assert queue.longest_work() >= seconds(0.02)

    play(scene)
