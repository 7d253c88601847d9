# SPDX-License-Identifier: Apache-2.0
"""Three replicas under any interleaving: their processes are paused and continue, their requests
are slow, are lost or get no response, their wall clocks differ by minutes; never may two write.
"""

import asyncio
import copy
import random
from dataclasses import dataclass, field

import pytest

from finetune_operator.objects.errors import Conflict, NotLeading
from finetune_operator.objects.raw import Body, Manifest
from finetune_operator.runtime.leadership import Clock, Leadership, Timing
from support.factories import NOW, seconds

TICK = 0.1
LENGTH = 400.0
DURATION = Timing().duration.total_seconds()


@dataclass
class Time:
    passed: float = 0.0


class ReplicaLoop(asyncio.SelectorEventLoop):
    """One process: nothing happens in it while it is paused, but its clock continues."""

    def __init__(self, time: Time) -> None:
        self._world_time = time
        self.stopped_until = 0.0
        super().__init__()

    def time(self) -> float:
        return self._world_time.passed

    def turn(self) -> None:
        self.call_soon(self.stop)
        self.run_forever()


@dataclass
class World:
    """The Lease, and all writes of replicas that considered themselves the leader."""

    chance: random.Random
    lease: Manifest | None = None
    version: int = 0
    writes: list[tuple[float, str, str]] = field(default_factory=list)
    """When, by whom, and who held the Lease."""

    @property
    def holder(self) -> str:
        return str((self.lease or {"spec": {}})["spec"].get("holderIdentity", ""))


class UnreliableLease:
    """A replica's connection to the Lease: each request takes time, and may fail before or
    after.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    async def read(self) -> Body | None:
        await self._travel()
        found = copy.deepcopy(self._world.lease)
        await self._travel()
        return found

    async def write(self, lease: Body) -> None:
        await self._travel()
        world = self._world
        if lease.get("version", 0) != world.version:
            raise Conflict
        world.version += 1
        world.lease = copy.deepcopy({**lease, "version": world.version})
        await self._travel()

    async def _travel(self) -> None:
        chance = self._world.chance
        await asyncio.sleep(chance.choice((0, 0, 0, 0.2, 3, 20)))
        if chance.random() < 0.15:
            raise ConnectionError


class Replica:
    """A candidate that writes all the time, when it may."""

    def __init__(self, name: str, world: World, time: Time) -> None:
        skew = seconds(world.chance.uniform(-600, 600))
        clock = Clock(monotonic=lambda: time.passed, now=lambda: NOW + skew + seconds(time.passed))
        self._name, self._world, self._time = name, world, time
        self.loop = ReplicaLoop(time)
        self.leadership = Leadership(UnreliableLease(world), name, Timing(), clock)
        self.task = self.loop.create_task(self.leadership.run(self._work))

    async def _work(self) -> None:
        while True:
            try:
                self.leadership.check()
            except NotLeading:
                pass
            else:
                self._world.writes.append((self._time.passed, self._name, self._world.holder))
            await asyncio.sleep(self._world.chance.uniform(0, 1))


def live(seed: int) -> World:
    """Everything that happens in `LENGTH` seconds, and then to the end of the replicas."""
    chance, time = random.Random(seed), Time()  # noqa: S311 - repeatable, and no secret
    world = World(chance)
    replicas = [Replica(name, world, time) for name in ("one", "two", "three")]
    while time.passed < LENGTH:
        time.passed += TICK
        for replica in chance.sample(replicas, len(replicas)):
            if time.passed < replica.loop.stopped_until:
                continue
            if chance.random() < 0.003:
                replica.loop.stopped_until = time.passed + chance.uniform(0, 3 * DURATION)
                continue
            for _ in range(3):
                replica.loop.turn()
    for replica in replicas:
        replica.task.cancel()
    while not all(replica.task.done() for replica in replicas):
        time.passed += TICK
        for replica in replicas:
            replica.loop.turn()
    for replica in replicas:
        replica.loop.close()
    return world


@pytest.mark.parametrize(
    "seed", [*range(5), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(5, 20))]
)
def test_no_replica_writes_while_another_holds_the_lease(seed: int) -> None:
    world = live(seed)

    strangers = [(at, writer, holder) for at, writer, holder in world.writes if writer != holder]
    assert strangers == []
    # Otherwise it would also be true for idle replicas.
    assert len(world.writes) > 20


def test_each_replica_leads_at_some_time_in_the_simulation() -> None:
    writers = {writer for seed in range(3) for _, writer, _ in live(seed).writes}

    assert writers == {"one", "two", "three"}
