# SPDX-License-Identifier: Apache-2.0
"""Starts the ranks, several of them through torch's elastic launcher, and waits for them."""

import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from finetune_contract.documents import InvalidDocument, parse_object
from finetune_contract.progress import Progress, TrainerPhase
from finetune_contract.reasons import Reason
from finetune_contract.run import World
from finetune_trainer.exchange.heartbeats import HeartWatch, Hung
from finetune_trainer.exchange.rank_results import RankEnding, RankResult
from finetune_trainer.exchange.rank_settings import LAUNCHER_VARIABLES
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.errors import attempt_failed
from finetune_trainer.failures.stopping import StopRequest

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
STACKS_SECONDS = 2.0
"""The time for ranks to write their stacks."""


def wait_for_master(world: World, start_seconds: float, stop: StopRequest) -> None:
    """Waits until the first node's name resolves: its pod may be scheduled later than this one.

    Raises:
        AttemptFailed: it did not within the time that nodes wait for each other.
    """
    began = time.monotonic()
    while True:
        try:
            socket.getaddrinfo(world.master_address, world.master_port)
        except socket.gaierror as error:
            if time.monotonic() - began > start_seconds:
                raise attempt_failed(
                    Reason.MASTER_NOT_FOUND,
                    f"{world.master_address} did not resolve for {start_seconds:.0f} s: {error}",
                    "check that the first node's pod runs and that cluster DNS answers; nodes "
                    "wait until spec.startDeadlineSeconds",
                ) from None
        else:
            return
        stop.wait(1)
        stop.check()


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """The input for starting the ranks of one node."""

    world: World
    node: int
    workspace: Workspace
    environment: Mapping[str, str]
    output: Path | None
    """The file for their output; None for our own output."""
    stop_seconds: float
    """How long they may take to end after a stop request."""
    start_seconds: float
    """How long they wait for those of the other nodes, which may still fetch their model."""
    watch: HeartWatch
    """The watch of their progress."""


def run_ranks(launch: Launch, stop: StopRequest) -> list[RankResult]:
    """Runs this node's ranks until they end in any way; returns their results."""
    process = _start(launch)
    hung = _wait(process, launch, stop)
    results = _read_results(launch.workspace, launch.world, launch.node)
    ends = _ends(launch.workspace) or {0: process.returncode}
    return [_completed(result, hung, ends) for result in results]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The end of a process that is no rank."""

    exit_code: int
    """Negative for a signal."""
    hung: Hung | None = None


def run_alone(launch: Launch, module: str, stop: StopRequest, *arguments: str) -> Ended:
    """Runs one process of the ranks' code by itself, with the work directory as its first
    argument.
    """
    command = [sys.executable, "-m", module, str(launch.workspace.root), *arguments]
    process = _open(command, launch.environment, launch.output)
    hung = _wait(process, launch, stop)
    return Ended(exit_code=process.returncode, hung=hung)


def _start(launch: Launch) -> "subprocess.Popen[bytes]":
    environment = dict(launch.environment)
    rank = ["finetune_trainer.ranks.rank", str(launch.workspace.root)]
    if launch.world.size == 1:
        # A separate launcher would import torch before the rank imports it again.
        command = [sys.executable, "-m", *rank]
        environment |= _variables_of_one_rank(launch.world)
    else:
        command = [sys.executable, *elastic_launcher(launch), "-m", *rank]
    log.info("launching ranks=%d node=%d", launch.world.processes_per_node, launch.node)
    return _open(command, environment, launch.output)


def _open(
    command: Sequence[str], environment: Mapping[str, str], output: Path | None
) -> "subprocess.Popen[bytes]":
    # A separate session: Ctrl-C in a terminal must reach only the supervisor.
    if output is None:
        return subprocess.Popen(command, env=environment, start_new_session=True)
    with output.open("ab") as file:
        return subprocess.Popen(
            command, env=environment, start_new_session=True, stdout=file, stderr=file
        )


def elastic_launcher(launch: Launch) -> list[str]:
    """The arguments for Python; the rank's own command follows."""
    world = launch.world
    return [
        *("-m", "finetune_trainer.ranks.launcher"),
        *("--nnodes", str(world.nodes)),
        *("--node-rank", str(launch.node)),
        *("--nproc-per-node", str(world.processes_per_node)),
        *("--master-addr", world.master_address),
        *("--master-port", str(world.master_port)),
        *("--rdzv-backend", "static"),
        *("--rdzv-conf", f"timeout={max(1, int(launch.start_seconds))}"),
        *("--max-restarts", "0"),
    ]


def _variables_of_one_rank(world: World) -> dict[str, str]:
    """The variables that the launcher would set for the only rank."""
    return {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "LOCAL_WORLD_SIZE": "1",
        "MASTER_ADDR": world.master_address,
        "MASTER_PORT": str(world.master_port),
    }


def _wait(process: "subprocess.Popen[bytes]", launch: Launch, stop: StopRequest) -> Hung | None:
    """Waits for the ranks to end, or kills them if they hang; returns the rank that hung.

    After a stop request, it waits no longer than `stop_seconds`, and not at all if killing them
    loses nothing: before training begins, and after a checkpoint of the end.
    """
    has_ended = threading.Event()

    def wait_for_it() -> None:
        process.wait()
        has_ended.set()

    # In a thread, because `Popen.wait` with a timeout polls 20 times a second, next to busy ranks.
    threading.Thread(target=wait_for_it, name="ranks", daemon=True).start()
    while not has_ended.wait(POLL_SECONDS):
        if stop.is_requested:
            launch.workspace.stop.touch()
            if stop.age_seconds > launch.stop_seconds or not _has_to_lose(launch.workspace):
                log.warning("killing the ranks after %.0f s of stopping", stop.age_seconds)
                _kill(process)
                return None
        if (hung := launch.watch.look(POLL_SECONDS)) is not None:
            log.warning("rank=%d hangs, %s; its stacks follow", hung.rank, hung.doing)
            launch.watch.tell_where()
            stop.wait(STACKS_SECONDS)
            _kill(process)
            return hung
    return None


def _kill(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def _completed(result: RankResult, hung: Hung | None, ends: Mapping[int, int]) -> RankResult:
    """A rank's result with facts that it cannot record itself: that it hung, or the signal that
    killed it.
    """
    if result.ending is not RankEnding.RUNNING:
        return result
    if hung is not None and hung.rank == result.rank:
        failure = attempt_failed(
            Reason.RANKS_HUNG,
            f"no progress on any rank for {hung.seconds:.0f} s; rank {hung.rank} was {hung.doing}",
            "check the stacks in the trainer's log; set env: {FINETUNE_HANG_SECONDS: ...} if the "
            "work takes that long",
        ).failure
        return replace(result, ending=RankEnding.FAILED, time=time.time(), failure=failure)
    return replace(result, signal=max(0, -ends.get(result.rank, 0)))


def _ends(workspace: Workspace) -> dict[int, int]:
    """The exit codes that the elastic launcher saw, by rank; negative for a signal."""
    try:
        seen = parse_object(workspace.ends.read_bytes(), workspace.ends.name)
        return {int(rank): int(code) for rank, code in seen.items()}
    except (FileNotFoundError, ValueError, TypeError):
        return {}


def _has_to_lose(workspace: Workspace) -> bool:
    """Whether this node's ranks have unsaved results: they train, or have trained without a
    checkpoint of the end (`save_strategy: no`), so that only the artifact would save it.
    """
    try:
        told = Progress.from_body(workspace.progress.read_bytes())
    except (FileNotFoundError, InvalidDocument):
        return False
    if told.phase is TrainerPhase.VERIFYING:
        return told.step not in workspace.saved_steps()
    return told.phase is TrainerPhase.TRAINING


def _read_results(workspace: Workspace, world: World, node: int) -> list[RankResult]:
    """The results of this node's ranks; a rank that never began has none."""
    paths = (workspace.result(rank) for rank in ranks_of_node(world, node))
    return [RankResult.from_json(path.read_bytes()) for path in paths if path.is_file()]


def ranks_of_node(world: World, node: int) -> range:
    first = node * world.processes_per_node
    return range(first, first + world.processes_per_node)


def rank_environment(
    environment: Mapping[str, str], additions: Mapping[str, str]
) -> dict[str, str]:
    """Our environment with the plan's additions, without variables of an outer launcher."""
    kept = {name: value for name, value in environment.items() if name not in LAUNCHER_VARIABLES}
    return {**kept, **additions}
