# SPDX-License-Identifier: Apache-2.0
"""Ranks that are killed, crash or hang: real processes, and the reports about them."""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_contract.outcome import Category, ExitCode, Failure
from trainer.attempt.test_training import a_run, outcome_of, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LONG = {"max_steps": 100_000, "save_strategy": "no", "lora_r": 4}


def pids_of_ranks(work: Path) -> dict[int, int]:
    """The processes of this work directory's ranks that already train, by rank."""
    found = {}
    for file in work.glob("results/rank-*.heartbeat"):
        pid, _, doing = file.read_text().partition(" ")
        if doing.startswith("training"):
            found[int(re.sub(r"\D", "", file.stem))] = int(pid)
    return found


def until(ready: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    while not ready():
        assert process.poll() is None, "the supervisor ended too early"
        threading.Event().wait(0.1)


def failure_after(
    signal_number: int, rank: int, place: Path, model: Path, data: Path, **options: Any
) -> tuple[int, Failure]:
    """The result of a run of which one rank receives this signal during training."""
    processes = options.pop("processes", 1)
    config = {**LONG, "model_name_or_path": str(model), **options}
    run = a_run(place / "out", data, processes=processes, **config)
    supervisor = start(run, place)
    until(lambda: len(pids_of_ranks(place / "work")) == processes, supervisor)

    os.kill(pids_of_ranks(place / "work")[rank], signal_number)

    exit_code = supervisor.wait()
    failure = outcome_of(place).failure
    assert failure is not None
    return exit_code, failure


def test_a_killed_rank_is_named_with_its_signal(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    exit_code, failure = failure_after(signal.SIGKILL, 0, tmp_path, tiny_model, dialogues)

    assert exit_code == ExitCode.INFRASTRUCTURE
    assert (failure.category, failure.reason) == (Category.INFRASTRUCTURE, "RankKilled")
    assert "rank 0 was killed by a signal (SIGKILL)" in failure.message
    assert failure.rank == 0


def test_the_crashed_one_of_two_ranks_is_named(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    _, failure = failure_after(signal.SIGSEGV, 1, tmp_path, tiny_model, dialogues, processes=2)

    assert (failure.category, failure.reason) == (Category.INFRASTRUCTURE, "RankCrashed")
    assert "rank 1 crashed in native code (SIGSEGV)" in failure.message
    assert failure.rank == 1


def test_hanging_ranks_are_ended_and_the_silent_one_is_named(
    tmp_path: Path, tiny_model: Path, dialogues: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()

    _, failure = failure_after(
        signal.SIGSTOP,
        1,
        tmp_path,
        tiny_model,
        dialogues,
        processes=2,
        env={"FINETUNE_HANG_SECONDS": "5"},
    )

    assert time.monotonic() - began < 200
    assert (failure.category, failure.reason) == (Category.INFRASTRUCTURE, "RanksHung")
    assert re.search(
        r"no progress on any rank for \d+ s; rank \d was training, step \d+", failure.message
    )
    # Rank 0 waits for rank 1 in a collective, and its stack shows the line.
    stacks = capfd.readouterr().err
    assert "most recent call first" in stacks
    assert "finetune_trainer/ranks/training.py" in stacks
