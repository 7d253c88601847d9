# SPDX-License-Identifier: Apache-2.0
"""The events of a simulated world: each function performs one."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from finetune_contract.outcome import Category
from finetune_operator.job.observe.endings import has_ended
from finetune_operator.kube.cache import Kind
from finetune_operator.objects.names import FINETUNE_JOBS, PODS, TRAINING_JOBS
from support.factories import CONFIG, a_bad_outcome, a_good_outcome
from support.simulated_cluster import NAME
from support.simulated_world import MAX_ATTEMPTS, World

OUTCOMES = (
    a_good_outcome(),
    a_bad_outcome(Category.INFRASTRUCTURE),
    a_bad_outcome(Category.INTERRUPTION),
    a_bad_outcome(Category.OUT_OF_MEMORY),
    a_bad_outcome(Category.USER),
    a_bad_outcome(Category.INTERNAL),
)

Action = Callable[[World, int], object]
"""The number selects if there are several candidates."""


def pass_time(world: World, number: int) -> None:
    world.clock += timedelta(seconds=(1, 10, 60, 3600)[number % 4])


def turn_the_clock(world: World, number: int) -> None:
    world.skew = timedelta(seconds=(0, -300, 300, -7200)[number % 4])


def kill_operator(world: World, number: int) -> None:
    world.api.killed_at = (len(world.api.writes) + number // 2, bool(number % 2))


def edit_config(world: World, number: int) -> None:
    if world.job is not None:
        wrong: dict[str, Any] = {"learning_rte": 1e-5}
        given = ({"learning_rate": 1e-5}, {"learning_rate": 2e-5}, wrong)[number % 3]
        world.edit(config={**CONFIG, **given})


def ask_for_a_run(world: World, number: int) -> None:
    if world.job is not None:
        world.edit(runToken=f"token-{number % 2}")


def suspend_or_resume(world: World, number: int) -> None:
    if world.job is not None:
        world.edit(suspend=bool(number % 2))


def set_limits(world: World, number: int) -> None:
    name = ("ttlSecondsAfterFinished", "activeDeadlineSeconds", "startDeadlineSeconds")[number % 3]
    if world.job is not None:
        world.edit(**{name: 60}, retry={"maxAttempts": 1 + number % MAX_ATTEMPTS})


def delete_training_job(world: World, number: int) -> None:
    for training_job in world.training_jobs()[-1:]:
        world.etcd.remove(TRAINING_JOBS, training_job["metadata"]["name"])


def disrupt_pod(world: World, number: int) -> None:
    for pod in world.pods()[-1:]:
        if not has_ended(pod) and "deletionTimestamp" not in pod["metadata"]:
            disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "Deletion"}
            pod["status"]["conditions"] = [disrupted]
            pod["metadata"]["deletionTimestamp"] = world.stamp()
            world.etcd.touch(PODS, pod)


def make_the_job_again(world: World, number: int) -> None:
    if world.job is not None:
        world.etcd.remove(FINETUNE_JOBS, NAME)
        world.apply()


def report_progress(world: World, number: int) -> None:
    """As the progress endpoint of any replica writes it."""
    if world.job is not None and world.status.get("attempt"):
        phase = ("Fetching", "Training", "Verifying", "Publishing")[number % 4]
        world.status["progress"] = {
            "attempt": world.status["attempt"],
            "phase": phase,
            "step": number,
            "checkpointStep": 0,
            "resumedFromStep": 0,
        }
        world.etcd.touch(FINETUNE_JOBS, world.job)


def everybody_works(world: World, number: int) -> None:
    """A while without trouble, except from a trainer."""
    for kind in Kind:
        while world.hear(kind):
            pass
    for _ in range(3):
        world.work()
    world.control_jobs()
    world.run_pods(OUTCOMES[number % len(OUTCOMES)])
    world.collect_garbage()


def queue_jobs(world: World, number: int) -> None:
    world.is_queued = bool(number % 2)
    world.hold(is_held=world.is_queued)


def inject_sidecars(world: World, number: int) -> None:
    world.has_sidecars = bool(number % 2)


def refuse_pods(world: World, number: int) -> None:
    """Their node refuses them before anything of them runs."""
    for pod in world.pods():
        if pod["status"]["phase"] == "Pending" and "deletionTimestamp" not in pod["metadata"]:
            pod["status"] = {"phase": "Failed", "reason": "UnexpectedAdmissionError"}
            world.etcd.touch(PODS, pod)


ACTIONS: tuple[Action, ...] = (
    lambda world, number: world.work(),
    lambda world, number: world.work(),
    lambda world, number: world.hear(list(Kind)[number % 3]),
    lambda world, number: [world.hear(kind) for kind in Kind for _ in range(9)],
    lambda world, number: world.list_again(list(Kind)[number % 3]),
    lambda world, number: world.relist(),
    lambda world, number: world.control_jobs(),
    lambda world, number: world.control_jobs(),
    lambda world, number: world.run_pods(OUTCOMES[number % len(OUTCOMES)]),
    lambda world, number: world.run_pods(OUTCOMES[number % len(OUTCOMES)]),
    lambda world, number: world.collect_garbage(),
    lambda world, number: world.start_operator(),
    *[everybody_works] * 8,
    pass_time,
    pass_time,
    turn_the_clock,
    kill_operator,
    edit_config,
    ask_for_a_run,
    suspend_or_resume,
    set_limits,
    delete_training_job,
    disrupt_pod,
    make_the_job_again,
    report_progress,
    queue_jobs,
    inject_sidecars,
    refuse_pods,
)
