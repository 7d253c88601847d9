# SPDX-License-Identifier: Apache-2.0
"""The behaviour and messages of a schedule, in common situations of CronJobs."""

from datetime import timedelta
from typing import Any

import pytest

from finetune_operator.kube.cache import Kind
from finetune_operator.objects import conditions
from finetune_operator.objects.errors import NotYet
from finetune_operator.objects.names import FINETUNE_JOBS, job_label, scheduled_name
from finetune_operator.objects.times import parse_time
from finetune_operator.schedule.child import build_child
from finetune_operator.schedule.spec import check_schedule_body, parse_schedule
from finetune_operator.webhook.review import review
from support.factories import CONFIG, SETTINGS, a_job_body
from support.simulated_schedule import NAME, ScheduleWorld, a_schedule_body

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def ready(world: ScheduleWorld) -> Any:
    return conditions.require(world.status["conditions"], "Ready")


def a_world(**spec: Any) -> ScheduleWorld:
    """It is noon; the next job is due at two."""
    world = ScheduleWorld(**spec)
    world.settle()
    return world


def end_all(world: ScheduleWorld, ending: str = "Complete") -> None:
    for job in world.jobs():
        world.end_job(job, ending)
    world.settle()


def test_each_time_of_the_schedule_creates_a_job_that_it_owns() -> None:
    world = a_world(jobTemplate={"metadata": {"labels": {"team": "a"}}, **TEMPLATE})

    world.pass_time(DAY)

    (job,) = world.jobs()
    metadata = job["metadata"]
    at = parse_time("2026-01-02T02:00:00Z")
    assert metadata["name"] == f"{NAME}-{int(at.timestamp()) // 60}"
    assert metadata["annotations"] == {"finetune.dev/scheduled-at": "2026-01-02T02:00:00+00:00"}
    assert metadata["labels"] == {"team": "a", "finetune.dev/schedule": NAME}
    assert metadata["ownerReferences"][0]["uid"] == world.schedule["metadata"]["uid"]
    assert world.status["lastScheduleTime"] == "2026-01-02T02:00:00Z"
    assert world.status["activeCount"] == 1
    assert world.status["nextScheduleTime"] == "2026-01-03T02:00:00+00:00"
    assert world.reasons() == ["SuccessfulCreate"]


TEMPLATE = {"spec": a_job_body()["spec"]}


def test_jobs_of_one_config_are_separate_runs() -> None:
    world = a_world()

    world.pass_time(2 * DAY)

    tokens = {job["spec"]["runToken"] for job in world.jobs()}
    assert tokens == {"2026-01-02T02:00:00Z", "2026-01-03T02:00:00Z"}


def test_a_run_token_of_the_template_is_kept_as_a_prefix() -> None:
    spec = {**a_job_body()["spec"], "runToken": "v2"}
    schedule = parse_schedule(a_schedule_body(jobTemplate={"spec": spec}), SETTINGS)

    child = build_child(schedule, parse_time("2026-01-02T02:00:00Z"))

    assert child["spec"]["runToken"] == "v2 2026-01-02T02:00:00Z"


def test_the_annotation_shows_the_time_in_the_schedules_zone() -> None:
    world = a_world(timeZone="Asia/Kathmandu")

    world.pass_time(DAY)

    (job,) = world.jobs()
    at = job["metadata"]["annotations"]["finetune.dev/scheduled-at"]
    assert at == "2026-01-02T02:00:00+05:45"


def test_forbid_starts_the_job_when_the_other_has_ended() -> None:
    world = a_world(concurrencyPolicy="Forbid")
    world.pass_time(2 * DAY)
    assert ready(world)["reason"] == "JobAlreadyActive"
    assert world.made == ["nightly-29455320"]

    end_all(world)

    assert world.made == ["nightly-29455320", "nightly-29456760"]
    assert world.reasons().count("JobAlreadyActive") == 1
    assert "SawCompletedJob" in world.reasons()


def test_replace_deletes_the_running_job() -> None:
    world = a_world(concurrencyPolicy="Replace")

    world.pass_time(2 * DAY)

    assert [job["metadata"]["name"] for job in world.jobs()] == ["nightly-29456760"]
    assert world.status["activeCount"] == 1
    assert world.reasons() == ["SuccessfulCreate", "SuccessfulDelete", "SuccessfulCreate"]


def test_allow_lets_both_jobs_run() -> None:
    world = a_world()

    world.pass_time(2 * DAY)

    assert len(world.jobs()) == world.status["activeCount"] == 2


def test_the_history_keeps_the_newest_jobs_of_each_result() -> None:
    world = a_world(successfulJobsHistoryLimit=2, failedJobsHistoryLimit=1)

    for ending in ("Complete", "Failed", "Complete", "Failed", "Complete"):
        world.pass_time(DAY)
        end_all(world, ending)

    kept = [job["metadata"]["name"] for job in world.etcd.all(FINETUNE_JOBS)]
    assert kept == [world.made[2], world.made[3], world.made[4]]
    assert world.status["lastSuccessfulTime"] == "2026-01-06T12:00:00Z"


def test_a_suspended_schedule_starts_nothing_and_then_only_the_newest_missed_time() -> None:
    world = a_world(suspend=True)
    world.pass_time(5 * DAY)
    assert (world.made, ready(world)["reason"]) == ([], "Suspended")
    assert "nextScheduleTime" not in world.status

    world.edit(suspend=False)
    world.settle()

    assert world.status["lastScheduleTime"] == "2026-01-06T02:00:00Z"
    assert len(world.made) == 1


def test_a_time_past_its_starting_deadline_is_skipped_and_reported() -> None:
    world = a_world(suspend=True, startingDeadlineSeconds=3600)
    world.pass_time(DAY)

    world.edit(suspend=False)
    world.settle()

    assert world.made == []
    assert world.status["lastMissedTime"] == "2026-01-02T02:00:00Z"
    assert ready(world)["reason"] == "MissSchedule"
    assert world.reasons() == ["MissSchedule"]


def test_more_than_a_hundred_missed_times_start_one_job_with_a_warning() -> None:
    world = a_world(suspend=True, schedule="*/10 * * * *")
    world.pass_time(DAY)

    world.edit(suspend=False)
    world.settle()

    assert len(world.made) == 1
    assert "TooManyMissedTimes" in world.reasons()


def test_a_changed_schedule_does_not_start_missed_times() -> None:
    world = a_world()

    world.edit(schedule="0 11 * * *")
    world.settle()
    assert world.made == []

    world.pass_time(DAY)
    assert world.status["lastScheduleTime"] == "2026-01-02T11:00:00Z"
    assert len(world.made) == 1


def test_a_deleted_job_is_reported_missing_and_not_created_again() -> None:
    world = a_world()
    world.pass_time(DAY)

    world.delete_job(world.jobs()[0])
    world.settle()
    world.pass_time(timedelta(hours=1))

    assert len(world.made) == 1
    assert world.status["activeCount"] == 0
    assert "MissingJob" in world.reasons()


def test_a_changed_clock_is_noticed_within_a_minute() -> None:
    world = a_world()

    world.skew = timedelta(hours=15)
    world.pass_time(2 * MINUTE)

    assert len(world.made) == 1


def test_a_refused_job_is_reported_and_retried() -> None:
    world = a_world()
    refuse, create = True, world.cluster.create_job

    async def create_or_refuse(manifest: Any) -> Any:
        if refuse:
            raise NotYet("creating it was refused: quota", after=timedelta(seconds=30))
        return await create(manifest)

    vars(world.cluster)["create_job"] = create_or_refuse
    world.pass_time(timedelta(hours=14, minutes=5))
    assert ready(world)["reason"] == "FailedCreate"
    assert conditions.is_true(world.status["conditions"], "Reconciling")
    assert world.reasons() == ["FailedCreate"]

    refuse = False
    world.pass_time(MINUTE)

    assert len(world.made) == 1
    assert conditions.find(world.status["conditions"], "Reconciling") is None


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param({"schedule": "0 25 * * *"}, "spec.schedule: found", id="hour 25"),
        pytest.param({"schedule": "0 0 31 2 *"}, "which never matches a date", id="never"),
        pytest.param({"timeZone": "Mars/Base"}, "spec.timeZone: found", id="no time zone"),
        pytest.param({"schedule": "TZ=UTC @daily"}, "write it into spec.timeZone", id="TZ="),
        pytest.param(
            {"jobTemplate": {"spec": a_job_body(config={**CONFIG, "learning_rte": 1})["spec"]}},
            "spec.jobTemplate.spec.config.learning_rte: ",
            id="config",
        ),
        pytest.param(
            {"jobTemplate": {"spec": {**a_job_body()["spec"], "runToken": "x" * 250}}},
            "spec.jobTemplate.spec.runToken: found 250 characters",
            id="token",
        ),
    ],
)
def test_an_invalid_schedule_starts_nothing_and_is_reported_at_apply_and_in_accepted(
    spec: dict[str, Any], words: str
) -> None:
    world = a_world(**spec)
    world.pass_time(DAY)
    asked = {
        "uid": "1",
        "kind": {"kind": "FineTuneSchedule"},
        "operation": "CREATE",
        "object": world.schedule,
    }

    refusal = review(asked, SETTINGS)

    accepted = conditions.require(world.status["conditions"], "Accepted")
    assert world.made == []
    assert words in accepted["message"]
    assert words in refusal["status"]["message"]
    assert refusal["status"]["details"]["kind"] == "FineTuneSchedule"
    assert conditions.is_true(world.status["conditions"], "Stalled")
    assert world.reasons() == ["InvalidSpec"]


def test_an_invalid_schedule_can_be_suspended() -> None:
    before = a_schedule_body(schedule="never")
    asked = {
        "uid": "1",
        "kind": {"kind": "FineTuneSchedule"},
        "operation": "UPDATE",
        "oldObject": before,
        "object": a_schedule_body(schedule="never", suspend=True),
    }

    assert review(asked, SETTINGS) == {"allowed": True}


def test_a_valid_schedule_is_admitted_without_warnings() -> None:
    assert check_schedule_body(a_schedule_body(), SETTINGS) == ()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("a", id="short"),
        pytest.param("a" * 240, id="just short enough"),
        pytest.param("a" * 253, id="the longest"),
        pytest.param("a" + "-" * 250 + "b", id="dashes where it is cut"),
    ],
)
def test_job_names_are_valid_and_differ_between_schedules(name: str) -> None:
    moment = parse_time("2026-01-02T02:00:00Z")
    made = scheduled_name(name, moment)

    assert len(made) <= 253
    assert made.endswith("-29455320")
    stem = made.removesuffix("-29455320")
    assert stem == name or scheduled_name(stem, moment) != made
    assert len(job_label(name)) <= 63


EDITED_OWNERS: dict[str, Any] = {
    "taken off": [],
    "another schedule's": [
        {"kind": "FineTuneSchedule", "name": "other", "uid": "other", "controller": True}
    ],
    "no controller any more": [
        {"kind": "FineTuneSchedule", "name": NAME, "uid": "uid-of-schedule", "controller": False}
    ],
    "somebody's own": [{"kind": "Deployment", "name": "x", "uid": "x", "controller": True}],
}


def give_away(world: ScheduleWorld, job: Any, owner: str) -> None:
    job["metadata"]["ownerReferences"] = EDITED_OWNERS[owner]
    world.etcd.touch(FINETUNE_JOBS, job)


@pytest.mark.parametrize("owner", EDITED_OWNERS)
@pytest.mark.parametrize("is_seen", [True, False], ids=["seen between", "all at once"])
def test_a_schedule_continues_after_a_job_removed_from_it_is_deleted(
    owner: str, is_seen: bool
) -> None:
    world = a_world()
    world.pass_time(DAY)
    (job,) = world.jobs()

    give_away(world, job, owner)
    if is_seen:
        world.settle()
        assert world.status["activeCount"] == 0
    world.delete_job(job)
    world.settle()
    world.pass_time(DAY)

    assert len(world.made) == 2
    assert world.status["activeCount"] == 1
    assert world.cluster._cache.jobs_owned_by("other") == ()


@pytest.mark.parametrize("owner", EDITED_OWNERS)
@pytest.mark.parametrize("is_seen", [True, False], ids=["seen", "not seen yet"])
def test_the_history_limit_deletes_no_job_that_was_removed_from_the_schedule(
    owner: str, is_seen: bool
) -> None:
    world = a_world(successfulJobsHistoryLimit=1)
    world.pass_time(DAY)
    (first,) = world.jobs()
    world.end_job(first, "Complete")
    world.settle()
    world.pass_time(DAY)
    (second,) = world.jobs()
    if not is_seen:
        world.end_job(second, "Complete")
        while world.hear(Kind.JOB):
            pass

    give_away(world, first, owner)
    if is_seen:
        world.settle()
        world.end_job(second, "Complete")
        world.settle()
    else:
        world.work()
    world.settle()

    assert first["metadata"]["name"] in [job["metadata"]["name"] for job in world.jobs("Complete")]
    assert "SuccessfulDelete" not in world.reasons()


def test_a_job_that_lost_its_label_still_belongs_to_its_schedule() -> None:
    world = a_world(concurrencyPolicy="Forbid")
    world.pass_time(DAY)
    (job,) = world.jobs()
    job["metadata"]["labels"] = {}
    world.etcd.touch(FINETUNE_JOBS, job)
    world.settle()
    world.pass_time(DAY)

    assert len(world.made) == 1
    assert ready(world)["reason"] == "JobAlreadyActive"
