# SPDX-License-Identifier: Apache-2.0
"""A schedule for each minute, in a real cluster: its jobs, its status, kubectl's output."""

import json
from collections.abc import Iterator

import pytest

from cluster import ending_trainer
from cluster.installation import Installation
from cluster.jobs import Jobs, Resource, a_short_job, until
from cluster.test_admission import wait_until_reviewed

pytestmark = pytest.mark.cluster

NAME, HELD, SHORT = "each-minute", "held", "short"


def a_schedule(name: str, **spec: object) -> Resource:
    """Its jobs request a GPU that no node has: they are created, and cost nothing."""
    job = a_short_job(name, steps=1)
    job["spec"]["resources"]["gpusPerNode"] = 1
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneSchedule",
        "metadata": {"name": name},
        "spec": {
            "schedule": "* * * * *",
            "timeZone": "Asia/Kathmandu",
            "jobTemplate": {"metadata": {"labels": {"team": "a"}}, "spec": job["spec"]},
            **spec,
        },
    }


def schedule_of(jobs: Jobs, name: str) -> Resource:
    found: Resource = json.loads(jobs.run("get", "fts", name, "-o", "json"))
    return found


def made_by(jobs: Jobs, name: str) -> list[Resource]:
    label = f"finetune.dev/schedule={name}"
    listed = json.loads(jobs.run("get", "ftj", "--selector", label, "-o", "json"))
    found: list[Resource] = listed["items"]
    return found


def wait_for_a_job(jobs: Jobs, name: str) -> None:
    """Waits until the status shows a job that runs or has already succeeded."""
    status: Resource = {}
    for _ in until(90):
        status = schedule_of(jobs, name).get("status", {})
        if status.get("activeCount") or "lastSuccessfulTime" in status:
            return
    raise AssertionError(f"{name} has made no job: {status}")


@pytest.fixture(scope="module")
def schedules(installation: Installation, jobs: Jobs) -> Iterator[Resource]:
    """All of them together, because each takes a minute to begin; the first, with its first job.

    The jobs of one schedule end soon: on a cluster of the tests, their trainer ends immediately.
    """
    short = a_schedule(SHORT, concurrencyPolicy="Forbid")
    template = short["spec"]["jobTemplate"]
    template["spec"]["resources"]["gpusPerNode"] = 0
    if installation.cluster is not None:
        ending_trainer.build()
        installation.cluster.load(ending_trainer.TAG)
        template["spec"] = ending_trainer.a_job(SHORT, jobs.namespace)["spec"]
    for schedule in (a_schedule(NAME), a_schedule(HELD, concurrencyPolicy="Forbid"), short):
        jobs.apply(schedule)
    for name in (NAME, HELD, SHORT):
        wait_for_a_job(jobs, name)
    for name in (NAME, SHORT):
        suspend(jobs, name)
    yield schedule_of(jobs, NAME)
    jobs.run("delete", "fts", "--all", "--wait=true")


def suspend(jobs: Jobs, name: str) -> None:
    jobs.run("patch", "fts", name, "--type=merge", "-p", '{"spec":{"suspend":true}}')


def test_a_schedule_creates_and_owns_a_job_each_minute(jobs: Jobs, schedules: Resource) -> None:
    job = made_by(jobs, NAME)[0]
    (owner,) = job["metadata"]["ownerReferences"]

    assert owner["uid"] == schedules["metadata"]["uid"]
    assert job["metadata"]["labels"]["team"] == "a"
    assert job["metadata"]["annotations"]["finetune.dev/scheduled-at"].endswith("+05:45")
    assert job["metadata"]["uid"] in [it["uid"] for it in schedules["status"]["active"]]
    jobs.wait_until(
        job["metadata"]["name"], lambda s: s.get("runId"), seconds=30, what="acceptance"
    )


def test_kubectl_shows_a_schedule_like_a_cronjob(jobs: Jobs, schedules: Resource) -> None:
    condition = "--for=jsonpath={.status.conditions[?(@.type=='Ready')].reason}=Suspended"
    jobs.run("wait", condition, f"fts/{NAME}", "--timeout=30s")
    header, row = jobs.run("get", "fts", NAME).splitlines()
    events = jobs.run("get", "events", "--field-selector", f"involvedObject.name={NAME}")

    assert header.split(maxsplit=4)[:4] == ["NAME", "SCHEDULE", "TIMEZONE", "SUSPEND"]
    assert "LAST SCHEDULE" in header
    assert "* * * * *   Asia/Kathmandu   true" in row
    assert "SuccessfulCreate" in events


def test_forbid_creates_no_second_job_and_replace_does(jobs: Jobs, schedules: Resource) -> None:
    (first,) = made_by(jobs, HELD)
    blocked = "--for=jsonpath={.status.conditions[?(@.type=='Ready')].reason}=JobAlreadyActive"
    jobs.run("wait", blocked, f"fts/{HELD}", "--timeout=90s")
    assert [job["metadata"]["uid"] for job in made_by(jobs, HELD)] == [first["metadata"]["uid"]]

    jobs.run("patch", "fts", HELD, "--type=merge", "-p", '{"spec":{"concurrencyPolicy":"Replace"}}')

    # The due one starts immediately, in place of the other.
    uids = {first["metadata"]["uid"]}
    for _ in until(30):
        uids = {job["metadata"]["uid"] for job in made_by(jobs, HELD)}
        if uids and first["metadata"]["uid"] not in uids:
            break
    assert len(uids) == 1
    assert first["metadata"]["uid"] not in uids
    suspend(jobs, HELD)


def test_a_successful_job_is_reported_by_its_schedule(jobs: Jobs, schedules: Resource) -> None:
    job = made_by(jobs, SHORT)[0]
    assert jobs.wait_for_end(job["metadata"]["name"])["phase"] == "Succeeded"

    waited = jobs.run("wait", "--for=jsonpath={.status.activeCount}=0", f"fts/{SHORT}")
    assert "condition met" in waited
    assert schedule_of(jobs, SHORT)["status"]["lastSuccessfulTime"]
    events = ""
    # Written after the status.
    for _ in until(30):
        events = jobs.run("get", "events", "--field-selector", f"involvedObject.name={SHORT}")
        if "SawCompletedJob" in events:
            break
    assert "SawCompletedJob" in events


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param({"schedule": "0 25 * * *"}, "expected values from 0 to 23", id="hour"),
        pytest.param({"timeZone": "Europe/Berln"}, "did you mean Europe/Berlin?", id="zone"),
        pytest.param({"concurrencyPolicy": "Never"}, "Allow", id="policy"),
    ],
)
def test_an_invalid_schedule_is_refused_at_apply(
    jobs: Jobs, spec: dict[str, str], words: str
) -> None:
    wait_until_reviewed(jobs)

    with pytest.raises(RuntimeError, match="spec") as refusal:
        jobs.apply(a_schedule("wrong", **spec))

    assert words in str(refusal.value)


def test_a_typo_in_the_config_of_the_job_template_is_refused(jobs: Jobs) -> None:
    wrong = a_schedule("typo")
    wrong["spec"]["jobTemplate"]["spec"]["config"]["learning_rte"] = 1

    wait_until_reviewed(jobs)

    with pytest.raises(RuntimeError, match="did you mean learning_rate"):
        jobs.apply(wrong)


def test_kubectl_explain_shows_every_key_of_the_config(jobs: Jobs) -> None:
    told = jobs.run("explain", "fts.spec.jobTemplate.spec.config.learning_rate")

    assert "learning rate" in told
