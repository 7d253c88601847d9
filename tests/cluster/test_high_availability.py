# SPDX-License-Identifier: Apache-2.0
"""Two replicas on a real control plane: they die, pause, lose their connection, their permissions,
their server.

There is no node and no training: the results of pods are simulated.
"""

import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from cluster.faulty_api import WatchFault
from cluster.installation import REPOSITORY
from cluster.replica import Replica
from cluster.replicas import JOBS, Stage, finish, is_begun, message_of, wait_until
from finetune_contract.progress import Progress
from finetune_operator.job.decide.decision import REPAIR

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

CLUSTER_ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/finetune-operator"


def test_a_killed_leader_is_replaced_once_its_lease_has_expired(stage: Stage) -> None:
    training = stage.apply("training")
    wait_until(lambda: len(stage.pods()) == 1, "its pod is made")
    stage.play_running(stage.pods()[0])
    untouched = stage.pods()[0]["metadata"]["resourceVersion"]
    wait_until(lambda: message_of(stage, training).startswith("the pods are running"), "it is told")
    before = stage.status(training)
    for number in range(2):
        leader = stage.leader()
        leader.kill()
        name = stage.apply(f"orphan-{number}")

        wait_until(lambda name=name: is_begun(stage, name), "the other acts")

        assert stage.leader() is stage.other(leader)
        leader.start()
        wait_until(leader.is_ready, "it is back")
    assert stage.status(training) == before
    assert untouched in [it["metadata"]["resourceVersion"] for it in stage.pods()]


def test_a_terminated_leader_releases_its_lease_and_the_other_takes_over(stage: Stage) -> None:
    leader = stage.leader()
    successor = stage.other(leader)

    leader.send(signal.SIGTERM)
    name = stage.apply("handed-over")

    wait_until(lambda: stage.find_leader() is successor and is_begun(stage, name), "the other acts")
    assert leader.process.wait(timeout=30) == 0
    assert "leadership released" in leader.log


@pytest.fixture
def define_schedules(stage: Stage) -> Iterator[Callable[[], object]]:
    """They are not defined until this is called, or the test has ended."""
    definition = str(REPOSITORY / "crds" / "finetuneschedules.yaml")
    define = partial(stage.plane.kubectl, "apply", "--server-side", "-f", definition)
    stage.plane.kubectl("delete", "-f", definition)
    yield define
    define()


def test_schedules_work_without_a_restart_when_their_crd_is_installed_later(
    stage: Stage, define_schedules: Callable[[], object]
) -> None:
    for replica in stage.replicas.values():
        replica.kill()
        replica.start()
    wait_until(lambda: all(it.is_ready() for it in stage.replicas.values()), "they are back")
    name = stage.apply("not-waiting")
    wait_until(lambda: is_begun(stage, name), "jobs do not wait for it")

    define_schedules()

    for replica in stage.replicas.values():
        # In a cluster the kubelet restarts it.
        assert replica.process.wait(timeout=60) == 1
        assert "schedules are defined now" in replica.log
        replica.start()
    schedule = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneSchedule",
        "metadata": {"namespace": stage.namespace, "name": "every-minute"},
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": stage.job(name)["spec"]}},
    }
    stage.plane.kubectl("apply", "-f", "-", input=json.dumps(schedule))
    path = f"/apis/finetune.dev/v1alpha1/namespaces/{stage.namespace}/finetuneschedules"
    wait_until(
        lambda: "nextScheduleTime" in stage.ask("GET", f"{path}/every-minute").get("status", {}),
        "its next time is planned",
    )
    stage.plane.kubectl("delete", "fts", "every-minute", "-n", stage.namespace)


def test_each_job_is_counted_by_the_leader_only(stage: Stage) -> None:
    name = stage.apply("counted")
    wait_until(lambda: is_begun(stage, name), "it is begun")
    leader, other = stage.leader(), stage.other(stage.leader())
    of_team = {"namespace": stage.namespace, "phase": "Starting"}

    wait_until(lambda: leader.metric("finetune_jobs", **of_team) == 1, "the leader has seen it")

    assert other.metric("finetune_jobs", **of_team) == 0
    assert [it.metric("finetune_operator_leader") for it in (leader, other)] == [1, 0]
    written = {"kind": "FineTuneJob", "result": "written"}
    # Counted after the Event, which is written after the status.
    wait_until(
        lambda: leader.metric("finetune_operator_reconciles_total", **written) >= 1,
        "the pass is counted",
    )
    assert leader.metric("finetune_job_attempt", finetunejob=name) == 1


def test_a_paused_leader_does_no_harm_when_it_resumes(stage: Stage) -> None:
    """As in a virtual machine that was paused: by its own clock, no time has passed."""
    leader = stage.leader()
    successor = stage.other(leader)
    names = [stage.apply(f"in-flight-{number}") for number in range(5)]

    leader.send(signal.SIGSTOP)
    wait_until(lambda: stage.find_leader() is successor, "the other leads")
    names += [stage.apply(f"meanwhile-{number}") for number in range(5)]
    wait_until(lambda: all(is_begun(stage, name) for name in names), "all are begun")
    leader.send(signal.SIGCONT)
    wait_until(lambda: "leadership lost" in leader.log, "it has understood")

    names.append(stage.apply("afterwards"))
    for name in names:
        finish(stage, name)
    assert sorted(stage.training_jobs()) == sorted(f"{name}-1" for name in names)
    assert stage.leader() is successor


def test_twenty_jobs_survive_random_faults_and_restarts_of_server_and_store(
    stage: Stage,
) -> None:
    names = [f"stormy-{number}" for number in range(20)]
    unlucky = {f"{name}-1" for name in names[::5]}
    for replica in stage.replicas.values():
        replica.way.weather.rate = 0.25
    for name in names:
        stage.apply(name)
    wait_until(lambda: len(stage.training_jobs()) >= 5, "some are begun")
    restart(stage, "etcd")
    restart(stage, "kube-apiserver")

    def have_succeeded() -> bool:
        stage.play_pods(failing=unlucky.__contains__)
        items = stage.ask("GET", JOBS.format(stage.namespace))["items"]
        phases = Counter(it.get("status", {}).get("phase") for it in items)
        return phases == {"Succeeded": 20}

    wait_until(lambda: len(stage.training_jobs()) >= 15, "most are begun")
    for replica in stage.replicas.values():
        replica.way.weather.rate = 0.05
    wait_until(have_succeeded, "all have succeeded", 300)

    attempts = {f"{name}-{number}" for name in names for number in attempts_of(stage, name)}
    created = Counter(
        write.name for write in stage.audit if write.resource == "jobs" and write.status == 201
    )
    assert attempts == {f"{name}-1" for name in names} | {f"{name}-2" for name in names[::5]}
    # No attempt twice. The audit lacks the response to a creation that a restart of the server cut
    # off.
    assert created <= Counter(attempts)
    for replica in stage.replicas.values():
        assert replica.process.poll() is None, replica.log[-3000:]


def restart(stage: Stage, component: str) -> None:
    stage.plane.kill(component)
    stage.plane.start(component)
    stage.plane.wait_until_ready()


def attempts_of(stage: Stage, name: str) -> list[int]:
    return [attempt["number"] for attempt in stage.status(name)["attempts"]]


def test_every_replica_accepts_progress_also_after_a_restart(
    stage: Stage,
) -> None:
    name = stage.apply("reporting")
    wait_until(lambda: len(stage.pods()) == 1, "its pod is made")
    token = stage.token_of(stage.pods()[0], name)
    one, other = stage.replicas.values()

    def is_heard(replica: Replica, step: int) -> bool:
        # Refused until a new replica has seen the pod.
        replica.report(stage.namespace, name, token, Progress(attempt=1, step=step, total_steps=9))
        return stage.status(name).get("progress", {}).get("step") == step

    wait_until(lambda: is_heard(one, 1), "one writes what it was told")
    wait_until(lambda: is_heard(other, 2), "so does the other")
    other.kill()
    other.start()
    wait_until(other.is_ready, "it is back")
    wait_until(lambda: is_heard(other, 3), "so does it, started again")
    one.report(stage.namespace, name, token, Progress(attempt=1, step=2, total_steps=9))
    wait_until(lambda: is_heard(other, 4), "what is old is not written")


def test_waiting_jobs_cause_no_writes(stage: Stage) -> None:
    """The short form of tests/benchmarks/resident_jobs.py."""
    names = [stage.apply(f"resident-{number}") for number in range(60)]
    wait_until(lambda: all(is_begun(stage, name) for name in names), "all are begun")

    seen = (0, 0)

    def is_quiet() -> bool:
        """While the Lease was renewed three times, nothing else was written."""
        nonlocal seen
        renewals = sum(write.resource == "leases" for write in stage.audit)
        writes = len(stage.audit) - renewals
        if writes != seen[0]:
            seen = (writes, renewals)
        return renewals >= seen[1] + 3

    wait_until(is_quiet, "nothing is written any more")
    made = [it for it in stage.audit if it.namespace == stage.namespace and it.status < 300]
    started = {it.name: it.sent for it in made if it.resource == "jobs"}
    # Later the status shows why the pod does not run. An API server's times have no fractions.
    patient = REPAIR.total_seconds() - 1
    later = {
        it.name: it
        for it in made
        if it.resource == "finetunejobs" and it.sent > started[f"{it.name}-1"] + patient
    }
    for name, write in later.items():
        assert "is not scheduled yet" in message_of(stage, name)
        made.remove(write)
    expected = ("finetunejobs", "configmaps", "jobs", "events")
    assert Counter(it.resource for it in made) == dict.fromkeys(expected, len(names))


@pytest.mark.parametrize("fault", [WatchFault.GONE, WatchFault.GONE_EVENT], ids=["410", "an event"])
def test_changes_made_while_the_watches_were_down_are_detected_afterwards(
    stage: Stage, fault: WatchFault
) -> None:
    """A Job was deleted; a job was deleted and created again; a job is new."""
    kept, remade = stage.apply("kept"), stage.apply("remade")
    wait_until(lambda: is_begun(stage, kept) and is_begun(stage, remade), "both are begun")
    for replica in stage.replicas.values():
        replica.way.weather.is_cut_off = True
        replica.way.drop_watches()

    background = {"propagationPolicy": "Background"}
    path = f"/apis/batch/v1/namespaces/{stage.namespace}/jobs/{kept}-1"
    stage.ask("DELETE", path, background)
    stage.ask("DELETE", f"{JOBS.format(stage.namespace)}/{remade}", background)
    wait_until(lambda: stage.job(remade) is None, "it is gone")
    stage.apply(remade)
    new = stage.apply("new")
    for replica in stage.replicas.values():
        watched = ("finetunejobs", "jobs", "pods")
        replica.way.weather.watch_faults = dict.fromkeys(watched, fault)
        replica.way.weather.is_cut_off = False

    if fault is WatchFault.GONE:
        restart_replicas(stage)
    wait_until(lambda: is_begun(stage, new) and is_begun(stage, remade), "both are begun")
    wait_until(lambda: attempts_of(stage, kept) == [1, 2], "it is tried again")
    for name in (kept, remade, new):
        finish(stage, name)
    assert attempts_of(stage, remade) == [1]


@pytest.mark.long
def test_a_silent_watch_is_restarted(stage: Stage) -> None:
    leader = stage.leader()
    leader.way.weather.watch_faults = {"finetunejobs": WatchFault.SILENT}
    leader.way.drop_watches()
    wait_until(lambda: not leader.way.weather.watch_faults, "its watch is told nothing")

    name = stage.apply("unheard")

    wait_until(lambda: is_begun(stage, name), "it is begun", 300)
    assert stage.leader() is leader


def restart_replicas(stage: Stage) -> None:
    """kopf does not survive such a response; the kubelet restarts ended containers."""
    for replica in stage.replicas.values():
        assert replica.process.wait(timeout=30) == 1
        ends = ("ERROR operator failed error=", "ERROR operator ended by force")
        assert any(end in replica.log for end in ends)
        replica.start()


@pytest.mark.parametrize(
    ("resource", "verb", "told"),
    [
        pytest.param("jobs", "create", "cannot create resource", id="jobs create"),
        pytest.param(
            "finetunejobs/status",
            "patch",
            "cannot patch resource",
            id="status patch",
            marks=pytest.mark.long,
        ),
        pytest.param("finetunejobs", "watch", "cannot watch resource", id="watch"),
        pytest.param("jobs", "list", "cannot list resource", id="list", marks=pytest.mark.long),
    ],
)
def test_a_revoked_right_is_reported_and_works_again_once_granted(
    stage: Stage, resource: str, verb: str, told: str
) -> None:
    role = stage.ask("GET", CLUSTER_ROLE)
    try:
        stage.ask("PATCH", CLUSTER_ROLE, {"rules": without(role["rules"], resource, verb)})
        for replica in stage.replicas.values():
            if verb == "list":
                replica.way.weather.watch_faults = {resource: WatchFault.GONE_EVENT}
            replica.way.drop_watches()
        name = stage.apply("disowned")
        leader = stage.leader()
        is_written = verb == "create"
        wait_until(lambda: is_told(stage, leader, name, told, is_written=is_written), "it is told")
        refused = {"resource": resource.split("/")[0], "code": "403"}
        counted = (
            leader.metric("finetune_operator_api_requests_total", **refused)
            if verb in ("create", "patch")
            else leader.metric("finetune_operator_watch_errors_total")
        )
        assert counted > 0
    finally:
        stage.ask("PATCH", CLUSTER_ROLE, {"rules": role["rules"]})

    wait_until(lambda: is_begun(stage, name), "it is begun")
    for replica in stage.replicas.values():
        assert replica.process.poll() is None
        assert "traceback" not in replica.log.lower(), replica.log
        assert len([line for line in replica.log.splitlines() if "forbidden" in line]) < 40


def is_told(stage: Stage, leader: Replica, name: str, told: str, *, is_written: bool) -> bool:
    """In the log, and in the job's conditions if possible."""
    conditions = json.dumps(stage.status(name).get("conditions", []))
    return told in leader.log and (told in conditions or not is_written)


def without(rules: list[dict[str, list[str]]], resource: str, verb: str) -> list[object]:
    verbs = [
        [it for it in rule["verbs"] if it != verb or resource not in rule["resources"]]
        for rule in rules
    ]
    return [{**rule, "verbs": left} for rule, left in zip(rules, verbs, strict=True) if left]
