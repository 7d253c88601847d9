# SPDX-License-Identifier: Apache-2.0
"""The long forms of the fault tests: `make soak`.

Their figures are kept in docs/contributing/benchmarks.md.
"""

import json
import random
import time

import pytest

from cluster.installation import Installation
from cluster.jobs import Jobs, a_job, a_short_job, until

pytestmark = pytest.mark.soak

KILLS = 5
STEPS = 100
JOBS = 20


def test_a_repeatedly_killed_pod_ends_like_an_undisturbed_one(
    installation: Installation, jobs: Jobs
) -> None:
    assert installation.cluster is not None
    often = {"save_strategy": "steps", "save_steps": 5}
    reference = jobs.wait_for_end(
        jobs.apply(a_short_job("left-alone", steps=STEPS, **often)), seconds=900
    )
    job = a_short_job("hunted", steps=STEPS, **often)
    job["spec"]["retry"] = {"maxAttempts": KILLS + 1}
    name = jobs.apply(job)

    for kill in range(1, KILLS + 1):
        jobs.wait_until(
            name,
            lambda status, kill=kill: (
                status.get("progress", {}).get("attempt") == kill
                and status["progress"].get("step", 0) > status["progress"].get("resumedFromStep", 0)
            ),
            seconds=600,
            what=f"a step of attempt {kill}",
        )
        time.sleep(random.uniform(0, 6))  # noqa: S311 - the moment must be nobody's choice
        pod = jobs.running_pod(name)
        assert pod is not None
        installation.cluster.kill_container(jobs.container_of(pod))
    status = jobs.wait_for_end(name, seconds=900)

    lost = [attempt["stepsLost"] for attempt in status["attempts"]]
    resumed = [attempt["resumedFromStep"] for attempt in status["attempts"]]
    print(f"\nkilled {KILLS} times in {STEPS} steps: resumed from {resumed}, steps lost {lost}")
    print(f"loss {status['progress']['loss']} (left alone: {reference['progress']['loss']})")
    assert status["phase"] == "Succeeded"
    assert status["progress"]["step"] == STEPS
    assert len(status["attempts"]) == KILLS + 1
    assert status["progress"]["loss"] == pytest.approx(reference["progress"]["loss"], rel=0.02)


def test_a_repeatedly_killed_leader_neither_loses_nor_duplicates_a_job(
    installation: Installation, jobs: Jobs
) -> None:
    """The jobs' data is missing: each ends soon, in a real pod, and must never be retried."""
    assert installation.cluster is not None
    names = [f"stormy-{number}" for number in range(JOBS)]
    leaders = set()
    for name in names:
        jobs.apply(a_job(name, dataset_name="s3://datasets/nowhere"))
        if random.random() < 0.5:  # noqa: S311
            leaders.add(_kill_leader(installation))

    for _ in until(600, every=2):
        phases = [jobs.status(name).get("phase") for name in names]
        if all(phase == "Failed" for phase in phases):
            break
    assert phases == ["Failed"] * JOBS
    for name in names:
        assert len(jobs.training_jobs(name)) == len(jobs.status(name)["attempts"]) == 1
    print(f"\n{JOBS} jobs, {len(leaders)} leaders killed: each job ended, with one batch Job")


def _kill_leader(installation: Installation) -> str:
    """Kills the leading operator with SIGKILL; returns its name.

    Its pod is deleted, too, or the kubelet would wait longer each time before restarting it.
    """
    system = ("-n", "finetune-system")
    for _ in until(60):
        lease = json.loads(
            installation.kubectl("get", "lease", "finetune-operator", *system, "-o", "json")
        )
        holder = str(lease["spec"]["holderIdentity"])
        pod = holder.rpartition("_")[0]
        listed = installation.kubectl("get", "pods", *system, "-o", "name")
        if pod and f"pod/{pod}\n" in listed:
            break
    described = json.loads(installation.kubectl("get", "pod", pod, *system, "-o", "json"))
    assert installation.cluster is not None
    installation.cluster.kill_container(Jobs.container_of(described))
    installation.kubectl("delete", "pod", pod, *system, "--force", "--grace-period=0")
    return holder
