# SPDX-License-Identifier: Apache-2.0
"""Attempts in a world of one or two processes, for which torch is imported once.

Everything is real except torch's launcher: each rank does the work of `ranks.rank`, in a separate
process, with a process group over gloo. The processes are forked from one that has imported torch
and TRL, but has not used them, and end immediately, like ranks: a process group that is destroyed
can hang.
"""

import faulthandler
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

from finetune_cli.local.run import _free_port as free_port
from finetune_contract.run import Run, World
from finetune_trainer.attempt.stages import carry_out
from finetune_trainer.exchange.rank_results import RankResult
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.stopping import StopRequest, end_process
from finetune_trainer.plan.exclusions import DEEPSPEED
from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.progress.reporting import Reporter, silent
from finetune_trainer.supervision import launching
from finetune_trainer.supervision.context import AttemptContext
from trainer import imported
from trainer.in_process import Trained

MOST = 2
LONGEST_SECONDS = 240


class TwoRanks:
    """Starts ranks."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,))
        self._process.start()
        # So that its end is noticed here.
        theirs.close()

    def close(self) -> None:
        self._connection.send(None)
        self._process.join(10)
        self._process.kill()

    def train(
        self,
        run: Run,
        place: Path,
        *,
        processes: int,
        before: Callable[[], None] | None = None,
    ) -> Trained:
        """Carries out one attempt at a run, on CPUs. `before` is called in each rank, to break
        it.
        """
        workspace = Workspace(root=place / "work")
        workspace.root.mkdir(parents=True, exist_ok=True)
        context = AttemptContext(
            workspace=workspace,
            environment=os.environ,
            hardware=Hardware(gpus=0, cpus=MOST),
            stop=StopRequest(),
            reporter=Reporter(workspace, silent, 5.0, attempt=run.attempt),
            grace_seconds=30.0,
        )
        world = World(processes_per_node=processes, master_port=free_port())
        run = replace(run, world=world)
        run_ranks = partial(self._run_ranks, before)
        launched = mock.patch.object(launching, "run_ranks", run_ranks)
        with launched, _findable(DEEPSPEED):
            return Trained(outcome=carry_out(run, context), workspace=workspace, run=run)

    def _run_ranks(
        self, before: Callable[[], None] | None, launch: launching.Launch, stop: StopRequest
    ) -> list[RankResult]:
        del stop
        ranks = range(launch.world.size)
        root = launch.workspace.root
        self._connection.send([(root, _environment(launch, it), before) for it in ranks])
        self._connection.recv()
        results = [launch.workspace.result(rank) for rank in ranks]
        return [RankResult.from_json(path.read_bytes()) for path in results if path.is_file()]


@contextmanager
def _findable(package: str) -> Iterator[None]:
    """For the supervisor, which is in this process: an earlier rank in it may have hidden the
    package (`in_process`).
    """
    is_hidden = package in sys.modules and sys.modules[package] is None
    if is_hidden:
        del sys.modules[package]
    try:
        yield
    finally:
        if is_hidden:
            sys.modules.setdefault(package, None)


def _environment(launch: launching.Launch, rank: int) -> Mapping[str, str]:
    return {
        **launch.environment,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(launch.world.size),
        "MASTER_ADDR": launch.world.master_address,
        "MASTER_PORT": str(launch.world.master_port),
    }


def _serve(connection: "Connection[Any, Any]") -> None:
    """Forks the ranks of each task that arrives, and reports when all have ended."""
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    # Slow imports, and none of our modules: ours depend on their rank.
    import trl.trainer.sft_trainer  # noqa: F401

    imported.keep()
    while (tasks := connection.recv()) is not None:
        children = [_fork(*task) for task in tasks]
        for child in children:
            os.waitpid(child, 0)
        connection.send(None)


def _fork(root: Path, environment: Mapping[str, str], before: Callable[[], None] | None) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.environ |= environment
        # A rank that hangs prints its stacks, and ends.
        faulthandler.dump_traceback_later(LONGEST_SECONDS, exit=True)
        from finetune_trainer.ranks import rank

        if before is not None:
            before()
        code = rank.main(Workspace(root=root), int(environment["RANK"]))
    finally:
        end_process(code)
    return child
