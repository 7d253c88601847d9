# SPDX-License-Identifier: Apache-2.0
"""How long the supervisor waits for ranks after a stop request."""

import subprocess
import sys
from pathlib import Path

import pytest

from finetune_contract.progress import Progress, TrainerPhase
from finetune_contract.run import World
from finetune_trainer.exchange.heartbeats import HeartWatch
from finetune_trainer.exchange.workspace import Workspace, write_atomically
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.supervision import launching

HEARS_NOTHING = "import time; time.sleep(60)"
HEARS = "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.01)"


def wait_for(workspace: Workspace, script: str, stop_seconds: float) -> int:
    """The exit code of a process after a stop request."""
    stop = StopRequest()
    stop.request()
    launch = launching.Launch(
        world=World(),
        node=0,
        workspace=workspace,
        environment={},
        output=None,
        start_seconds=60.0,
        stop_seconds=stop_seconds,
        watch=HeartWatch(workspace=workspace, ranks=range(1), bound_seconds=0),
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(workspace.stop)])
    launching._wait(process, launch, stop)
    return process.returncode


def tell(workspace: Workspace, phase: TrainerPhase, step: int = 8) -> None:
    write_atomically(workspace.progress, Progress(phase=phase, step=step).to_body())


def test_ranks_that_have_not_started_are_not_waited_for(tmp_path: Path) -> None:
    assert wait_for(Workspace(root=tmp_path), HEARS_NOTHING, stop_seconds=3600) == -9


def test_a_verification_is_not_waited_for_if_a_checkpoint_contains_the_training(
    tmp_path: Path,
) -> None:
    workspace = Workspace(root=tmp_path)
    tell(workspace, TrainerPhase.VERIFYING)
    workspace.saved_checkpoint(8).mkdir(parents=True)

    assert wait_for(workspace, HEARS_NOTHING, stop_seconds=3600) == -9


@pytest.mark.parametrize("saved", [None, 4], ids=["no checkpoint", "an older one"])
def test_a_verification_may_finish_if_only_the_artifact_contains_the_training(
    tmp_path: Path, saved: int | None
) -> None:
    workspace = Workspace(root=tmp_path)
    tell(workspace, TrainerPhase.VERIFYING)
    if saved is not None:
        workspace.saved_checkpoint(saved).mkdir(parents=True)

    assert wait_for(workspace, HEARS, stop_seconds=3600) == 0


def test_ranks_that_are_training_may_save_first(tmp_path: Path) -> None:
    workspace = Workspace(root=tmp_path)
    tell(workspace, TrainerPhase.TRAINING)

    assert wait_for(workspace, HEARS, stop_seconds=3600) == 0


def test_ranks_that_take_too_long_to_save_are_ended(tmp_path: Path) -> None:
    workspace = Workspace(root=tmp_path)
    tell(workspace, TrainerPhase.TRAINING)

    assert wait_for(workspace, HEARS_NOTHING, stop_seconds=0) == -9
