# SPDX-License-Identifier: Apache-2.0
"""The next attempt does not tokenize the same data again if its cache is kept."""

import shutil
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from finetune_contract.progress import Progress
from finetune_contract.run import Run
from finetune_trainer.exchange.workspace import Workspace
from trainer import in_process
from trainer.attempt.test_training import outcome_of, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LONGEST_SECONDS = 240
"""The longest that an attempt takes on a busy machine."""


def prepared(cache: Path) -> dict[Path, int]:
    """The cache files of `datasets`, with the times at which they were written."""
    return {file: file.stat().st_mtime_ns for file in cache.rglob("*.arrow")}


def begin(run: Run, pod: Path) -> "subprocess.Popen[bytes]":
    """Starts an attempt in a new working directory, at the path that it has in each pod."""
    shutil.rmtree(pod, ignore_errors=True)
    pod.mkdir()
    return start(run, pod)


def step_of(pod: Path) -> int:
    try:
        return Progress.from_body(Workspace(root=pod / "work").progress.read_bytes()).step or 0
    except FileNotFoundError:
        return 0


def test_an_attempt_finds_what_the_one_before_has_prepared(
    tiny_model: Path, dialogues: Path, tmp_path: Path
) -> None:
    cache, pod = tmp_path / "cache", tmp_path / "pod"
    config = {"max_steps": 10, "packing": True, "max_length": 64, "system_message": "Be brief."}
    variables = {"HF_DATASETS_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    run = in_process.a_run(tmp_path, tiny_model, dialogues, **config, env=variables)

    lost = begin(run, pod)
    deadline = time.monotonic() + LONGEST_SECONDS
    while step_of(pod) < 1:
        assert lost.poll() is None, "it ended before its first step"
        assert time.monotonic() < deadline, "it does not reach its first step"
        threading.Event().wait(0.05)
    lost.kill()
    lost.wait()
    before = prepared(cache)
    begin(replace(run, attempt=2), pod).wait(LONGEST_SECONDS)

    assert before
    assert outcome_of(pod).failure is None
    assert prepared(cache) == before
