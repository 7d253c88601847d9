# SPDX-License-Identifier: Apache-2.0
import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from finetune_contract.answers import Answer
from finetune_contract.progress import GpuMemory, Progress
from finetune_operator.job.attempts import Result, render_attempts
from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.kube.client import ApiError
from finetune_operator.objects.names import FINETUNE_JOBS, JobKey
from finetune_operator.progress.writer import WRITES_AT_ONCE, ProgressWriter
from support.factories import NOW, a_job_body, an_attempt, seconds
from support.fake_api import FakeApi

KEY = JobKey(namespace="team", label="balloon")
# Long compared with a moment on a busy machine: tests run in parallel.
INTERVAL = seconds(0.3)


class World:
    """A job with one running attempt, and a fast writer."""

    def __init__(self) -> None:
        self.api, self.cache = FakeApi(), ObjectCache()
        self.set_attempts(Result.RUNNING)
        self.turned = seconds(0)
        self.began = asyncio.get_running_loop().time()
        self.writer = ProgressWriter(self.api, self.cache, INTERVAL, self.now)

    def now(self) -> datetime:
        return NOW + self.turned + seconds(asyncio.get_running_loop().time() - self.began)

    def set_attempts(self, *results: Result) -> None:
        attempts = [
            an_attempt(number, result, last_step=5) for number, result in enumerate(results, 1)
        ]
        status = {"attempts": render_attempts(attempts)}
        body = self.api.put(FINETUNE_JOBS, a_job_body(status=status))
        self.cache.remember(Kind.JOB, body)

    def report(self, step: int, attempt: int = 1, answers: tuple[Answer, ...] = ()) -> None:
        progress = Progress(step=step, total_steps=100, answers=answers)
        self.writer.report(KEY, attempt, progress)

    def step(self) -> int | None:
        status = self.api.objects[FINETUNE_JOBS, "team", "balloon"].get("status", {})
        step: int | None = status.get("progress", {}).get("step")
        return step

    @property
    def writes(self) -> int:
        return self.api.calls.count("patch finetunejobs")


def play(scene: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        world = World()
        writing = asyncio.create_task(world.writer.run())
        await scene(world)
        writing.cancel()

    asyncio.run(run())


async def interval() -> None:
    """Waits until delayed reports are written."""
    await asyncio.sleep(1.5 * INTERVAL.total_seconds())


async def moment() -> None:
    await asyncio.sleep(0.02)


def test_the_first_report_is_written_at_once() -> None:
    async def scene(world: World) -> None:
        world.report(1)
        await moment()

        assert world.step() == 1

    play(scene)


def test_further_reports_are_delayed_and_the_newest_wins() -> None:
    async def scene(world: World) -> None:
        for step in range(1, 9):
            world.report(step)
            await asyncio.sleep(0)
        await moment()
        assert world.writes == 1

        world.report(9)
        await moment()
        assert world.writes == 1

        await interval()
        assert (world.writes, world.step()) == (2, 9)

    play(scene)


def test_the_last_step_is_written_at_once_and_only_once() -> None:
    async def scene(world: World) -> None:
        world.report(1)
        await moment()
        world.report(100)
        await moment()
        assert (world.writes, world.step()) == (2, 100)

        world.report(100)
        await moment()
        assert world.writes == 2

    play(scene)


def test_answers_are_written_at_once() -> None:
    answers = (Answer(prompt="Name a colour.", before=None, after="Blue."),)

    async def scene(world: World) -> None:
        world.report(100)
        await moment()
        world.report(100, answers=answers)
        await moment()
        assert world.writes == 2

        world.report(100, answers=answers)
        await moment()
        assert world.writes == 2

    play(scene)


def test_a_report_waits_after_a_recent_write_by_another_replica() -> None:
    async def scene(world: World) -> None:
        other = ProgressWriter(world.api, world.cache, INTERVAL, world.now)
        other.report(KEY, 1, Progress(step=1, total_steps=100))
        await other.flush()
        world.report(2)
        await moment()
        assert world.step() == 1

        await interval()
        assert (world.writes, world.step()) == (2, 2)

    play(scene)


def test_a_clock_set_back_does_not_delay_a_report() -> None:
    async def scene(world: World) -> None:
        world.report(1)
        await moment()
        world.turned = seconds(-7200)
        world.report(2)
        await interval()

        assert world.step() == 2

    play(scene)


def test_a_report_is_not_lost_when_the_job_has_changed_meanwhile() -> None:
    async def scene(world: World) -> None:
        newer = world.api.put(FINETUNE_JOBS, a_job_body())
        world.report(1)
        await moment()
        assert world.step() is None

        world.cache.remember(Kind.JOB, newer)
        await interval()
        assert world.step() == 1

    play(scene)


def test_a_report_is_not_lost_when_the_api_server_is_down() -> None:
    async def scene(world: World) -> None:
        world.api.fail_with = ConnectionError("no route")
        world.report(1)
        await moment()
        world.api.fail_with = None
        await interval()

        assert world.step() == 1

    play(scene)


def test_the_last_report_of_a_killed_attempt_is_written() -> None:
    async def scene(world: World) -> None:
        world.set_attempts(Result.FAILED)
        world.report(6)
        await moment()

        assert world.step() == 6

    play(scene)


def test_a_late_report_does_not_overwrite_the_final_figures() -> None:
    async def scene(world: World) -> None:
        world.set_attempts(Result.SUCCEEDED)
        world.report(5)
        await moment()

        assert world.writes == 0

    play(scene)


def test_a_report_of_an_earlier_attempt_is_dropped() -> None:
    async def scene(world: World) -> None:
        world.set_attempts(Result.FAILED, Result.RUNNING)
        world.report(50, attempt=1)
        await moment()

        assert world.writes == 0

    play(scene)


def test_a_report_of_a_deleted_job_is_dropped() -> None:
    async def scene(world: World) -> None:
        world.api.objects.clear()
        world.report(1)
        await interval()
        assert world.writes == 1

        world.cache.forget(Kind.JOB, a_job_body(metadata={"resourceVersion": "1000"}))
        world.report(2)
        await interval()
        assert world.writes == 1

    play(scene)


def test_a_flush_writes_all_pending_reports() -> None:
    async def scene(world: World) -> None:
        world.report(1)
        await moment()
        world.report(2)
        await world.writer.flush()

        assert world.step() == 2

    play(scene)


def test_memory_is_written_with_the_progress() -> None:
    async def scene(world: World) -> None:
        told = Progress(
            step=1, memory=GpuMemory(estimated_bytes=3 * 1024**3, peak_bytes=2 * 1024**3)
        )
        world.writer.report(KEY, 1, told)
        await world.writer.flush()

        status = world.api.objects[FINETUNE_JOBS, "team", "balloon"]["status"]
        assert status["memory"] == {"estimated": "3Gi", "peak": "2Gi"}
        assert status["progress"]["step"] == 1

    play(scene)


def test_a_write_without_a_response_delays_no_other_jobs_reports() -> None:
    async def scene(world: World) -> None:
        slow = JobKey(namespace="team", label="slow")
        status = {"attempts": render_attempts([an_attempt(1, Result.RUNNING, last_step=5)])}
        body = a_job_body("slow", uid="uid-of-slow", status=status)
        world.cache.remember(Kind.JOB, world.api.put(FINETUNE_JOBS, body))
        world.api.silent = {"slow"}

        world.writer.report(slow, 1, Progress(step=1, total_steps=100))
        await moment()
        world.report(1)
        await moment()

        assert world.writes == 2
        assert world.step() == 1

    play(scene)


def test_a_report_that_the_api_server_refuses_is_not_written_again() -> None:
    async def scene(world: World) -> None:
        for code in (400, 413, 422):
            world.api.fail_with = ApiError(code, "Invalid", "status.progress.step")
            world.report(1)
            await moment()
            world.api.fail_with = None
            before = world.writes
            await interval()
            assert world.writes == before

        world.report(2)
        await interval()
        assert world.step() == 2

    play(scene)


def test_a_status_that_cannot_be_read_stops_no_other_jobs_reports() -> None:
    async def scene(world: World) -> None:
        broken = JobKey(namespace="team", label="broken")
        for record in ({}, {"number": "1"}, {"number": None}):
            body = a_job_body("broken", uid="uid-of-broken", status={"attempts": [record]})
            world.cache.remember(Kind.JOB, world.api.put(FINETUNE_JOBS, body))
            for _ in range(WRITES_AT_ONCE):
                world.writer.report(broken, 1, Progress(step=1, total_steps=100))
                await moment()

        world.report(1)
        await interval()
        assert world.step() == 1

    play(scene)
