# SPDX-License-Identifier: Apache-2.0
import asyncio
import copy
from typing import Any

import pytest

from finetune_operator.objects.errors import Conflict, NotLeading
from finetune_operator.objects.raw import Body
from finetune_operator.runtime.leadership import Clock, Leadership, Timing
from support.factories import NOW, seconds


class FakeLease:
    """A Lease object that can be unreachable."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.is_reachable = True

    async def read(self) -> Body | None:
        if not self.is_reachable:
            raise ConnectionError
        return copy.deepcopy(self.lease)

    async def write(self, lease: Body) -> None:
        if not self.is_reachable:
            raise ConnectionError
        known = (self.lease or {}).get("version", 0)
        if lease.get("version", 0) != known:
            raise Conflict
        self.lease = {**lease, "version": known + 1}

    @property
    def holder(self) -> str:
        assert self.lease is not None
        return str(self.lease["spec"]["holderIdentity"])


class FakeTime:
    def __init__(self) -> None:
        self.passed = 0.0

    @property
    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.passed, now=lambda: NOW + seconds(self.passed))


DURATION = Timing().duration.total_seconds()


def candidates() -> tuple[FakeLease, FakeTime, Leadership, Leadership]:
    store, time = FakeLease(), FakeTime()
    one, other = (Leadership(store, name, Timing(), time.clock) for name in ("one", "other"))
    return store, time, one, other


def test_workers_stop_before_another_replica_may_start() -> None:
    timing = Timing()

    assert timing.renew_deadline < timing.duration
    assert timing.duration + timing.period < seconds(20)


def test_the_first_candidate_acquires_the_lease() -> None:
    async def scene() -> None:
        _, _, one, other = candidates()

        assert await one.try_hold()
        assert not await other.try_hold()
        assert await one.try_hold()

    asyncio.run(scene())


def test_a_renewed_lease_is_never_taken_over() -> None:
    async def scene() -> None:
        _, time, one, other = candidates()
        for _ in range(20):
            assert await one.try_hold()
            assert not await other.try_hold()
            time.passed += DURATION / 2

    asyncio.run(scene())


def test_the_lease_of_a_killed_holder_is_taken_over_after_its_duration() -> None:
    async def scene() -> None:
        store, time, one, other = candidates()
        await one.try_hold()
        assert not await other.try_hold()

        time.passed += DURATION - 0.1
        assert not await other.try_hold()
        time.passed += 0.2
        assert await other.try_hold()
        assert store.holder == "other"
        assert not await one.try_hold()

    asyncio.run(scene())


def test_the_clock_of_another_machine_is_not_trusted() -> None:
    """A new replica waits for the full duration, even if the Lease appears to be old."""

    async def scene() -> None:
        store, time, one, other = candidates()
        await one.try_hold()
        assert store.lease is not None
        store.lease["spec"]["renewTime"] = "2000-01-01T00:00:00.000000Z"
        time.passed += 1000

        assert not await other.try_hold()

    asyncio.run(scene())


def test_one_of_two_simultaneous_candidates_acquires_the_lease() -> None:
    async def scene() -> None:
        store, _, one, other = candidates()
        both_have_read = asyncio.Barrier(2)
        read = store.read

        async def read_together() -> Body | None:
            lease = await read()
            await both_have_read.wait()
            return lease

        store.read = read_together  # type: ignore[method-assign]

        held = await asyncio.gather(one.try_hold(), other.try_hold())

        assert sorted(held) == [False, True]

    asyncio.run(scene())


QUICK = Timing(duration=seconds(0.3), renew_deadline=seconds(0.15), period=seconds(0.02))


def real_clock() -> Clock:
    return Clock(monotonic=asyncio.get_running_loop().time, now=lambda: NOW)


class Work:
    """Records whether it still runs."""

    def __init__(self) -> None:
        self.is_going_on = False

    async def __call__(self) -> None:
        self.is_going_on = True
        try:
            await asyncio.Event().wait()
        finally:
            self.is_going_on = False


def test_work_continues_while_the_lease_is_held_and_stops_when_it_cannot_be_renewed() -> None:
    async def scene() -> None:
        store, work = FakeLease(), Work()
        leading = asyncio.create_task(Leadership(store, "one", QUICK, real_clock()).run(work))
        await asyncio.sleep(0.1)
        assert work.is_going_on

        store.is_reachable = False
        await asyncio.sleep(0.1)
        assert work.is_going_on
        await asyncio.sleep(0.15)
        assert not work.is_going_on

        store.is_reachable = True
        await asyncio.sleep(0.1)
        assert work.is_going_on
        leading.cancel()

    asyncio.run(scene())


def test_work_stops_when_another_replica_holds_the_lease() -> None:
    async def scene() -> None:
        store, work = FakeLease(), Work()
        leading = asyncio.create_task(Leadership(store, "one", QUICK, real_clock()).run(work))
        await asyncio.sleep(0.05)
        assert store.lease is not None
        store.lease["spec"]["holderIdentity"] = "other"
        store.lease["spec"]["leaseDurationSeconds"] = 60

        await asyncio.sleep(0.1)

        assert not work.is_going_on
        leading.cancel()

    asyncio.run(scene())


def test_a_graceful_stop_ends_the_work_first_and_then_releases_the_lease() -> None:
    async def scene() -> None:
        store, work = FakeLease(), Work()
        leading = asyncio.create_task(Leadership(store, "one", QUICK, real_clock()).run(work))
        await asyncio.sleep(0.05)

        leading.cancel()
        await asyncio.wait([leading])

        assert not work.is_going_on
        assert store.holder == ""
        assert await Leadership(store, "other", QUICK, real_clock()).try_hold()

    asyncio.run(scene())


def test_an_error_of_the_work_is_not_hidden() -> None:
    async def scene() -> None:
        async def fail() -> None:
            raise ValueError("broken")

        leading = asyncio.create_task(Leadership(FakeLease(), "one", QUICK, real_clock()).run(fail))
        await asyncio.wait([leading])

        assert isinstance(leading.exception(), ValueError)

    asyncio.run(scene())


def test_a_process_that_was_paused_for_too_long_may_not_write_when_it_resumes() -> None:
    async def scene() -> None:
        _, time, one, _ = candidates()
        working = asyncio.Event()

        async def work() -> None:
            working.set()
            await asyncio.Event().wait()

        leading = asyncio.create_task(one.run(work))
        await working.wait()
        one.check()
        time.passed += Timing().renew_deadline.total_seconds()

        with pytest.raises(NotLeading):
            one.check()
        leading.cancel()
        await asyncio.wait([leading])

    asyncio.run(scene())


def test_a_replica_that_is_not_the_leader_may_not_write() -> None:
    _, _, one, _ = candidates()

    with pytest.raises(NotLeading):
        one.check()


def test_a_problem_with_the_lease_is_logged_once_and_not_at_every_try(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene() -> None:
        store = FakeLease()
        store.is_reachable = False
        leading = asyncio.create_task(Leadership(store, "one", QUICK, real_clock()).run(Work()))
        await asyncio.sleep(0.1)
        leading.cancel()
        await asyncio.wait([leading])

    asyncio.run(scene())

    assert caplog.messages.count("lease not reached") == 1


EDITED = {
    "no spec": None,
    "empty": {},
    "nobody": {"holderIdentity": ""},
    "no duration": {"holderIdentity": "ghost"},
    "duration of null": {"holderIdentity": "ghost", "leaseDurationSeconds": None},
    "of nothing": {"holderIdentity": "ghost", "leaseDurationSeconds": 0},
    "less than nothing": {"holderIdentity": "ghost", "leaseDurationSeconds": -5},
    "of 68 years": {"holderIdentity": "ghost", "leaseDurationSeconds": 2**31 - 1},
    "times of another age": {
        "holderIdentity": "ghost",
        "leaseDurationSeconds": 12,
        "acquireTime": "0001-01-01T00:00:00.000000Z",
        "renewTime": "9999-12-31T23:59:59.999999Z",
    },
    "renewal that is no time": {"holderIdentity": "ghost", "renewTime": "yesterday"},
    "a long holder": {"holderIdentity": "x" * 10_000, "leaseDurationSeconds": 12},
    "as many transitions as there can be": {
        "holderIdentity": "ghost",
        "leaseDurationSeconds": 12,
        "leaseTransitions": 2**31 - 1,
    },
    "transitions of null": {"holderIdentity": "ghost", "leaseTransitions": None},
    "another strategy": {"holderIdentity": "ghost", "strategy": "OldestEmulationVersion"},
}


@pytest.mark.parametrize("edit", EDITED)
def test_with_any_content_of_the_lease_a_leader_is_elected_within_a_minute(
    edit: str,
) -> None:
    async def scene() -> None:
        store, time, one, other = candidates()
        await one.try_hold()
        assert store.lease is not None
        spec = EDITED[edit]
        store.lease = {"version": 7, **({} if spec is None else {"spec": copy.deepcopy(spec)})}

        held = [await one.try_hold(), await other.try_hold()]
        time.passed += 61
        held += [await one.try_hold(), await other.try_hold()]

        assert held.count(True) == 1 or held == [True, False, True, False]
        lease = store.lease["spec"]
        assert lease["holderIdentity"] == "one"
        assert lease["leaseDurationSeconds"] == DURATION
        assert 0 <= lease["leaseTransitions"] < 2**31
        assert set(lease) == {
            "holderIdentity",
            "leaseDurationSeconds",
            "acquireTime",
            "renewTime",
            "leaseTransitions",
        }

    asyncio.run(scene())


def test_a_lease_without_a_spec_does_not_block_a_graceful_stop() -> None:
    async def scene() -> None:
        store = FakeLease()
        leadership = Leadership(store, "one", QUICK, real_clock())
        began = asyncio.Event()

        async def work() -> None:
            began.set()
            await asyncio.Event().wait()

        leading = asyncio.create_task(leadership.run(work))
        await began.wait()
        store.lease = {"version": 1}
        leading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leading

    asyncio.run(scene())
