# SPDX-License-Identifier: Apache-2.0
"""A hostile tenant who may only create jobs and schedules, on a real control plane.

Whatever that tenant applies, reviewed or not: the leader stays the leader, the next tenant's job is
accepted within seconds, memory and metrics stay bounded, and the hostile job reports its problems.
No node: pods stay Pending.
"""

import json
from typing import Any

import pytest

from cluster.hostile_specs import METADATA, ODD, SCHEDULES, SPECS, schedule_text
from cluster.hostile_tenant import LEASE, UNREVIEWED, Answer, World
from cluster.replicas import wait_until
from support.long_form import keeping

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]


def require_told(world: World, answer: Answer, name: str, word: str) -> None:
    """By the refusal, or by the job itself."""
    world.require_neighbours_go_on()
    told = answer.text if answer.is_refusal else world.wait_until_told(name)
    assert word in told
    assert answer.is_refusal or "InvalidSpec" in told


@pytest.mark.parametrize("kind", SPECS)
def test_a_hostile_job_is_refused_when_it_is_applied(world: World, kind: str) -> None:
    spec, word = SPECS[kind]

    answer = world.tenant.apply("hostile", spec)

    assert answer.is_refusal
    require_told(world, answer, "hostile", word)


@pytest.mark.parametrize("kind", SPECS)
def test_a_hostile_job_that_bypassed_the_webhook_reports_its_errors(
    world: World, kind: str
) -> None:
    spec, word = SPECS[kind]

    answer = world.tenant.apply("hostile", spec, labels=UNREVIEWED)

    require_told(world, answer, "hostile", word)


EDITED = {
    "nested 850 deep",
    "affinity 3000 deep",
    "30,000 brackets for a mapping",
    "a learning rate of 1e308",
    "5,000 unknown keys",
    "a text of 1 MiB",
    "an image of 100 kB",
    "a deadline of 2^63-1 s",
    "10^9 nodes",
}


@pytest.mark.parametrize("kind", keeping(EDITED, list(SPECS)))
def test_a_valid_job_edited_into_a_hostile_one_reports_its_errors(world: World, kind: str) -> None:
    spec, word = SPECS[kind]
    world.tenant.apply("turned", '{"onChange": "Rerun"}', labels=UNREVIEWED)
    assert "InvalidSpec" not in world.wait_until_told("turned")

    answer = world.tenant.edit("turned", spec)

    require_told(world, answer, "turned", word)


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_but_valid_job_is_processed_normally(world: World, kind: str) -> None:
    answer = world.tenant.apply("odd", ODD[kind])

    world.require_neighbours_go_on()
    assert answer.code == 201, answer.text
    assert "InternalError" not in world.wait_until_told("odd")


@pytest.mark.parametrize("kind", METADATA)
def test_a_job_with_metadata_of_any_size_is_processed_normally(world: World, kind: str) -> None:
    answer = world.tenant.apply("odd", **METADATA[kind])

    world.require_neighbours_go_on()
    assert answer.code == 201, answer.text
    assert "InternalError" not in world.wait_until_told("odd")
    if "finalizers" in METADATA[kind]:
        nothing = json.dumps({"metadata": {"finalizers": None}})
        world.tenant.send("PATCH", f"{world.tenant.jobs}/odd", nothing)


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("labels", [{}, UNREVIEWED], ids=["reviewed", "unreviewed"])
def test_a_hostile_schedule_is_refused_or_reports_its_errors(
    world: World, kind: str, labels: dict[str, str]
) -> None:
    given, word = SCHEDULES[kind]

    answer = world.tenant.schedule("hostile", schedule_text(given), labels=labels)

    world.require_neighbours_go_on()
    told = answer.text
    if not answer.is_refusal:
        told = json.dumps(wait_for_conditions(world, "hostile"))
    assert word in told


def test_a_schedule_that_has_been_due_since_1970_is_processed_normally(world: World) -> None:
    given = '"schedule": "* * * * *", "suspend": true'
    world.tenant.schedule("old", schedule_text(given))
    wait_for_conditions(world, "old")
    path = f"{world.tenant.schedules}/old"
    times = {"lastScheduleTime": "1970-01-01T00:00:00Z", "countedFrom": "1970-01-01T00:00:00Z"}

    world.tenant.send("PATCH", f"{path}/status", json.dumps({"status": times}))
    world.tenant.send("PATCH", path, json.dumps({"spec": {"suspend": False}}))

    world.require_neighbours_go_on()
    wait_until(lambda: bool(world.stage.ask("GET", world.tenant.jobs)["items"]), "a job is made")


OWNERS: dict[str, list[Any]] = {
    "taken off": [],
    "another's": [
        {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTuneSchedule",
            "name": "minutely",
            "uid": "00000000-0000-0000-0000-000000000000",
            "controller": True,
        }
    ],
}


@pytest.mark.parametrize("owner", keeping({"another's"}, list(OWNERS)))
def test_manipulated_owner_references_do_not_break_the_schedule(world: World, owner: str) -> None:
    world.tenant.schedule("minutely", schedule_text('"schedule": "* * * * *"'))
    jobs, path = world.tenant.jobs, f"{world.tenant.schedules}/minutely"

    def made() -> list[Any]:
        return list(world.stage.ask("GET", jobs)["items"])

    wait_until(lambda: bool(made()), "a job is made")
    name = made()[0]["metadata"]["name"]
    patch = json.dumps({"metadata": {"ownerReferences": OWNERS[owner]}})
    world.tenant.send("PATCH", f"{jobs}/{name}", patch)
    world.tenant.send("DELETE", f"{jobs}/{name}", "{}")

    def is_looked_after() -> bool:
        active = [it["name"] for it in world.stage.ask("GET", path)["status"].get("active", ())]
        return name not in active and bool(active)

    wait_until(is_looked_after, "its next job is made", 150)


def wait_for_conditions(world: World, name: str) -> Any:
    path = f"{world.tenant.schedules}/{name}"

    def conditions() -> Any:
        return world.stage.ask("GET", path).get("status", {}).get("conditions")

    wait_until(conditions, "the schedule says something", 60)
    return conditions()


EDITS: dict[str, dict[str, Any] | None] = {
    "no spec": None,
    "no duration": {"holderIdentity": "ghost", "leaseDurationSeconds": None},
    "68 years": {"holderIdentity": "ghost", "leaseDurationSeconds": 2**31 - 1},
    "a long holder": {"holderIdentity": "x" * 10_000},
    "times of another age": {"holderIdentity": "g", "renewTime": "9999-12-31T23:59:59.999999Z"},
    "all transitions": {"holderIdentity": "ghost", "leaseTransitions": 2**31 - 1},
}


@pytest.mark.parametrize("edit", keeping({"no spec", "no duration"}, list(EDITS)))
def test_a_leader_is_elected_again_after_any_edit_of_the_lease(the_world: World, edit: str) -> None:
    the_world.stage.ask("PATCH", LEASE, {"spec": EDITS[edit]})

    wait_until(lambda: the_world.stage.find_leader() is not None, "somebody leads", 90)
    the_world.require_neighbours_go_on()
