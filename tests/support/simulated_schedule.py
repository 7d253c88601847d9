# SPDX-License-Identifier: Apache-2.0
"""One FineTuneSchedule in a simulated world of years: the operator's real reconcile, cache and API
writes; users that edit and delete, jobs that take their time, late events, crashes, wrong clocks.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.kube.relist import fill_cache, forget_vanished
from finetune_operator.kube.schedules import KubeSchedules
from finetune_operator.objects import conditions
from finetune_operator.objects.errors import Conflict, Gone
from finetune_operator.objects.names import EVENTS, FINETUNE_JOBS, FINETUNE_SCHEDULES, ScheduleKey
from finetune_operator.objects.times import parse_time, render_time
from finetune_operator.schedule.due import Timetable, find_due
from finetune_operator.schedule.reconcile import reconcile_schedule
from finetune_operator.schedule.status import MAX_ACTIVE
from finetune_spec.cron.expression import parse_cron
from finetune_spec.cron.times import next_time
from finetune_spec.cron.zones import find_zone
from support.factories import SETTINGS, a_job_body
from support.simulated_api import Etcd, Killed, SimulatedApi

NAME = "nightly"
KEY = ScheduleKey(namespace="team", name=NAME)
BEGIN = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
TIMES = (
    ("0 2 * * *", "Europe/Berlin"),
    ("30 2 * * *", "Europe/Berlin"),
    ("0 0 * * 0", "America/Santiago"),
    ("0 */6 * * *", "UTC"),
    ("15 1-3 * * 1-5", "Australia/Lord_Howe"),
    ("0 0 1 * *", "Asia/Kathmandu"),
    ("@every 36h", "UTC"),
    ("0 */8 * * *", "America/New_York"),
)
FIRST_TRIES = 3000
"""The number of times of a schedule that are counted: results with fewer are compared."""


def a_schedule_body(**spec: Any) -> dict[str, Any]:
    """As the API server returns it, with defaults."""
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneSchedule",
        "metadata": {
            "namespace": "team",
            "name": NAME,
            "uid": "uid-of-schedule",
            "generation": 1,
            "resourceVersion": "1",
            "creationTimestamp": render_time(BEGIN),
        },
        "spec": {
            "schedule": "0 2 * * *",
            "suspend": False,
            "concurrencyPolicy": "Allow",
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 1,
            "jobTemplate": {"spec": a_job_body()["spec"]},
            **spec,
        },
    }


class ScheduleWorld:
    """All methods are called from outside; `check` and the API's own checks test the invariants."""

    def __init__(self, **spec: Any) -> None:
        self.clock, self.skew = BEGIN, timedelta()
        self.etcd = Etcd()
        self.etcd.create(FINETUNE_SCHEDULES, a_schedule_body(**spec), render_time(BEGIN))
        self.made: list[str] = []
        """Names of all jobs that were ever created."""
        self.start_operator()

    @property
    def schedule(self) -> Any:
        return self.etcd.find(FINETUNE_SCHEDULES, NAME)

    @property
    def spec(self) -> Any:
        return self.schedule["spec"]

    @property
    def status(self) -> Any:
        return self.schedule.get("status", {})

    def jobs(self, ending: str | None = None) -> list[Any]:
        """Those with this ending; without one, the running ones."""
        return [job for job in self.etcd.all(FINETUNE_JOBS) if ending_of(job) == ending]

    def reasons(self) -> list[str]:
        return [event["reason"] for event in self.etcd.all(EVENTS)]

    @property
    def now(self) -> datetime:
        """By the operator's clock."""
        return self.clock + self.skew

    # The operator.

    def start_operator(self) -> None:
        self.cache = ObjectCache()
        self.api = SimulatedApi(self.etcd, lambda: render_time(self.clock))
        self.api.on_create = self._check_creation
        self.cluster = KubeSchedules(self.api, self.cache)
        self.heard = dict.fromkeys(Kind, len(self.etcd.events))
        asyncio.run(fill_cache(self.api, self.cache))
        self.due: datetime | None = self.clock
        """By the true clock: timers do not notice when a clock is set."""

    def hear(self, kind: Kind) -> bool:
        """The next event of this watch; False if there is none."""
        events = self.etcd.events
        while self.heard[kind] < len(events):
            event = events[self.heard[kind]]
            self.heard[kind] += 1
            if event.kind is kind:
                told = self.cache.forget if event.is_gone else self.cache.remember
                told(kind, event.body)
                self.due = self.clock
                return True
        return False

    def relist(self) -> None:
        if asyncio.run(forget_vanished(self.api, self.cache)):
            self.due = self.clock

    def work(self) -> bool:
        """One pass, if one is due."""
        if self.due is None or self.due > self.clock:
            return False
        body, self.due = self.cache.find_schedule(KEY), None
        if body is None:
            return False
        try:
            asyncio.run(self._reconcile(body))
        except Killed:
            self.start_operator()
        return True

    async def _reconcile(self, body: Any) -> None:
        try:
            done = await reconcile_schedule(
                body, cluster=self.cluster, settings=SETTINGS, now=self.now
            )
        except Conflict:
            # The newer version arrives soon.
            while self.hear(Kind.SCHEDULE):
                pass
            self.due = self.clock
        except Gone:
            pass
        else:
            if done is not None and done.check_again_in is not None:
                assert done.check_again_in >= timedelta()
                self.due = self.clock + done.check_again_in

    # All other actors.

    def pass_time(self, duration: timedelta) -> None:
        """The operator works whenever it is due; between passes nothing happens."""
        end = self.clock + duration
        while self.due is not None and (wake := self.due) <= end:
            self.clock = self._skip(wake, end)
            self.work()
        self.clock = end

    def _skip(self, wake: datetime, end: datetime) -> datetime:
        """It checks each minute; if nothing is due, many such checks are merged."""
        next_ = self.status.get("nextScheduleTime")
        if next_ is None or self.due is None or self.due <= self.clock + timedelta(seconds=50):
            return wake
        come = parse_time(next_) - self.skew + timedelta(milliseconds=100)
        return max(wake, min(come, end))

    def edit(self, **spec: Any) -> None:
        schedule = self.schedule
        changed = {**schedule["spec"], **spec}
        changed = {name: value for name, value in changed.items() if value is not None}
        if changed != schedule["spec"]:
            schedule["spec"] = changed
            schedule["metadata"]["generation"] += 1
            self.etcd.touch(FINETUNE_SCHEDULES, schedule)

    def end_job(self, job: Any, ending: str) -> None:
        job["status"] = {
            "startTime": job["metadata"]["creationTimestamp"],
            "completionTime": render_time(self.clock),
            "conditions": [{"type": ending, "status": "True"}],
        }
        self.etcd.touch(FINETUNE_JOBS, job)

    def delete_job(self, job: Any) -> None:
        self.etcd.remove(FINETUNE_JOBS, job["metadata"]["name"])

    def settle(self) -> None:
        """Delivers all events and runs all passes without advancing the clock; waiting keys check
        the clock, as they do each minute.
        """
        self.due = self.clock if self.due is not None else None
        for _ in range(30):
            for kind in Kind:
                while self.hear(kind):
                    pass
            if not self.work():
                return
        raise AssertionError(f"nothing comes to rest: {self.status}")

    # Invariants.

    def _check_creation(self, resource: Any, body: Any) -> None:
        if resource != FINETUNE_JOBS:
            return
        name, spec = body["metadata"]["name"], self.spec
        assert name not in self.made, f"{name} is made a second time"
        self.made.append(name)
        policy, active = spec["concurrencyPolicy"], self.jobs()
        assert policy == "Allow" or not active, f"{name} is made beside {active}"
        assert not spec["suspend"]
        moment = parse_time(body["metadata"]["annotations"]["finetune.dev/scheduled-at"])
        assert moment <= self.now
        expected = newest_time(spec, self._since(), self.now)
        assert expected in (None, moment), f"{moment} instead of {expected}"
        if (deadline := spec.get("startingDeadlineSeconds")) is not None:
            assert moment >= self.now - timedelta(seconds=deadline)

    def _since(self) -> datetime:
        status = self.status
        known = [status.get("lastScheduleTime"), status.get("countedFrom")]
        return max([BEGIN, *(parse_time(text) for text in known if text is not None)])

    def check_at_rest(self) -> None:
        """After everything was delivered and done."""
        status, active = self.status, self.jobs()
        names = {job["metadata"]["name"] for job in active}
        listed = {reference["name"] for reference in status["active"]}
        assert listed == names or (listed < names and len(listed) == MAX_ACTIVE)
        assert status["activeCount"] == len(names)
        assert len(self.jobs("Complete")) <= self.spec["successfulJobsHistoryLimit"]
        assert len(self.jobs("Failed")) <= self.spec["failedJobsHistoryLimit"]
        assert status["observedGeneration"] == self.schedule["metadata"]["generation"]
        if not self.spec["suspend"]:
            waits = self.spec["concurrencyPolicy"] == "Forbid" and active
            due = find_due(self._table(), self._since(), self.now).start
            assert due is None or waits, f"{due} was not started: {status}"

    def _table(self) -> Timetable:
        deadline = self.spec.get("startingDeadlineSeconds")
        return Timetable(
            expression=parse_cron(self.spec["schedule"]),
            zone=find_zone(self.spec.get("timeZone", "UTC")),
            starting_deadline=None if deadline is None else timedelta(seconds=deadline),
        )


def newest_time(spec: Any, since: datetime, now: datetime) -> datetime | None:
    """The last time of a schedule between these two, by counting; None if there is none, or if
    there are too many to count.
    """
    expression, zone = parse_cron(spec["schedule"]), find_zone(spec.get("timeZone", "UTC"))
    found, moment = None, next_time(expression, since, zone)
    for _ in range(FIRST_TRIES):
        if moment is None or moment > now:
            return found
        found, moment = moment, next_time(expression, moment, zone)
    return None


def ending_of(job: Any) -> str | None:
    found: Sequence[Any] = job.get("status", {}).get("conditions", ())
    return next((it for it in ("Complete", "Failed") if conditions.is_true(found, it)), None)


def live(seed: int, steps: int) -> ScheduleWorld:
    """Random years; raises if an invariant is violated."""
    chance = random.Random(seed)  # noqa: S311 - the same life for the same number
    schedule, zone = chance.choice(TIMES)
    world = ScheduleWorld(
        schedule=schedule,
        timeZone=zone,
        concurrencyPolicy=chance.choice(("Allow", "Forbid", "Replace")),
    )
    for _ in range(steps):
        chance.choice(DISTURBANCES)(world, chance)
        world.pass_time(timedelta(minutes=10 ** chance.uniform(-1, 4.5)))
        for kind in (Kind.JOB, Kind.SCHEDULE):
            for _ in range(chance.randrange(4)):
                world.hear(kind)
        if chance.random() < 0.2:
            world.settle()
            world.check_at_rest()
    world.skew = timedelta()
    world.api.killed_at = None
    world.settle()
    world.check_at_rest()
    return world


Disturbance = Callable[[ScheduleWorld, random.Random], None]


def _change_times(world: ScheduleWorld, chance: random.Random) -> None:
    schedule, zone = chance.choice(TIMES)
    world.edit(schedule=schedule, timeZone=zone)


def _suspend(world: ScheduleWorld, chance: random.Random) -> None:
    world.edit(suspend=chance.random() < 0.4)


def _change_policy(world: ScheduleWorld, chance: random.Random) -> None:
    world.edit(concurrencyPolicy=chance.choice(("Allow", "Forbid", "Replace")))


def _change_limits(world: ScheduleWorld, chance: random.Random) -> None:
    succeeded, failed = chance.randrange(4), chance.randrange(3)
    world.edit(successfulJobsHistoryLimit=succeeded, failedJobsHistoryLimit=failed)


def _change_deadline(world: ScheduleWorld, chance: random.Random) -> None:
    world.edit(startingDeadlineSeconds=chance.choice((None, None, 60, 7200)))


def _restart(world: ScheduleWorld, chance: random.Random) -> None:
    world.start_operator()


def _kill(world: ScheduleWorld, chance: random.Random) -> None:
    """At one of the next writes, before or after the API server receives it."""
    world.api.killed_at = (len(world.etcd.writes) + chance.randrange(5), chance.random() < 0.5)


def _set_clock(world: ScheduleWorld, chance: random.Random) -> None:
    world.skew = timedelta(minutes=chance.choice((0, 0, 0, 1, -1, 90, -90)))


def _relist(world: ScheduleWorld, chance: random.Random) -> None:
    world.relist()


def _delete_a_job(world: ScheduleWorld, chance: random.Random) -> None:
    # Not a job that no status lists yet: its existence could not be known.
    world.settle()
    if jobs := world.etcd.all(FINETUNE_JOBS):
        world.delete_job(chance.choice(jobs))


def _end_jobs(world: ScheduleWorld, chance: random.Random) -> None:
    for job in world.jobs():
        if chance.random() < 0.6:
            world.end_job(job, chance.choice(("Complete", "Complete", "Failed")))


DISTURBANCES: tuple[Disturbance, ...] = (
    _change_times,
    _suspend,
    _change_policy,
    _change_limits,
    _change_deadline,
    _restart,
    _kill,
    _set_clock,
    _relist,
    _delete_a_job,
    _end_jobs,
    _end_jobs,
    _end_jobs,
)
