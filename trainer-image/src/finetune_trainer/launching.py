# SPDX-License-Identifier: Apache-2.0
"""Starts the ranks through torch's elastic launcher, and waits for them."""

import logging
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from finetune_contract.run import World
from finetune_trainer.failures import infrastructure_error
from finetune_trainer.rank_results import RankResult
from finetune_trainer.stopping import StopRequest
from finetune_trainer.workspace import Workspace

log = logging.getLogger(__name__)

NAME_TIMEOUT_SECONDS = 300
POLL_SECONDS = 0.2


def wait_for_master(world: World, stop: StopRequest) -> None:
    """Wait until the first node's name resolves: its pod may be scheduled later than this one.

    Raises:
        AttemptFailed: it did not within five minutes.
    """
    began = time.monotonic()
    while True:
        try:
            socket.getaddrinfo(world.master_address, world.master_port)
        except socket.gaierror as error:
            if time.monotonic() - began > NAME_TIMEOUT_SECONDS:
                raise infrastructure_error(
                    "MasterNotFound",
                    f"{world.master_address} did not resolve for {NAME_TIMEOUT_SECONDS} s: {error}",
                    "check that the first node's pod runs and that cluster DNS answers",
                ) from None
        else:
            return
        stop.wait(1)
        stop.check()


def launch(
    world: World,
    node: int,
    workspace: Workspace,
    environment: Mapping[str, str],
    output: Path | None,
) -> "subprocess.Popen[bytes]":
    """Start this node's ranks; what they print goes to `output`, or where ours goes."""
    command = [
        sys.executable,
        *("-m", "finetune_trainer.ranks.launcher"),
        *("--nnodes", str(world.nodes)),
        *("--node-rank", str(node)),
        *("--nproc-per-node", str(world.processes_per_node)),
        *("--master-addr", world.master_address),
        *("--master-port", str(world.master_port)),
        *("--rdzv-backend", "static"),
        *("--max-restarts", "0"),
        *("-m", "finetune_trainer.ranks.rank"),
        str(workspace.root),
    ]
    log.info("launching ranks=%d node=%d", world.processes_per_node, node)
    # A session of its own: Ctrl-C in a terminal must reach the supervisor alone.
    if output is None:
        return subprocess.Popen(command, env=environment, start_new_session=True)
    with output.open("ab") as file:
        return subprocess.Popen(
            command, env=environment, start_new_session=True, stdout=file, stderr=file
        )


def wait_for_ranks(
    process: "subprocess.Popen[bytes]",
    workspace: Workspace,
    stop: StopRequest,
    stop_seconds: float,
) -> None:
    """Wait for the ranks to end; once asked to stop, no longer than `stop_seconds`."""
    while process.poll() is None:
        if stop.is_requested:
            workspace.stop.touch()
            if stop.age_seconds > stop_seconds:
                log.warning("ranks reached no step boundary in %.0f s, killing", stop_seconds)
                process.kill()
                process.wait()
                return
        try:
            process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue


def read_results(workspace: Workspace, world: World, node: int) -> list[RankResult]:
    """What this node's ranks say about themselves; a rank that never began says nothing."""
    paths = (workspace.result(rank) for rank in ranks_of_node(world, node))
    return [RankResult.from_json(path.read_bytes()) for path in paths if path.is_file()]


def ranks_of_node(world: World, node: int) -> range:
    first = node * world.processes_per_node
    return range(first, first + world.processes_per_node)


def rank_environment(
    environment: Mapping[str, str], additions: Mapping[str, str]
) -> dict[str, str]:
    """Ours with the plan's additions; what an outer launcher may have left is not passed on."""
    launcher_owned = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
    kept = {name: value for name, value in environment.items() if name not in launcher_owned}
    return {**kept, **additions}
