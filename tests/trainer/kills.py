# SPDX-License-Identifier: Apache-2.0
"""A real run in a real object store, killed at moments drawn from a seed and started again.

As the operator would: each attempt in a new work directory, with the next number.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from finetune_contract.outcome import Category, ExitCode, Outcome
from finetune_contract.progress import Progress, TrainerPhase
from finetune_contract.run import JobReference, Run, World
from finetune_trainer.checkpoints import checkpoints
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.storage.store import open_store
from trainer import warm_ranks

WAYS = ("SIGTERM", "SIGKILL", "rank")
"""The supervisor receives a stop request; its pod is killed; only its rank is killed."""
SHARES = {
    "Starting": 0.1,
    "Fetching": 0.02,
    "Checking": 0.001,
    "Loading": 0.2,
    "Training": 0.4,
    "Evaluating": 0.005,
    "Uploading": 0.02,
    "Verifying": 0.01,
    "Publishing": 0.02,
}
"""The approximate share of each phase in an attempt: a moment is drawn from it after the phase has
begun.
"""
ENDINGS = ("Interrupted", "RankKilled")
GRACE_SECONDS = 30
OPTIONS = ("--run", "run.json", "--work", "work", "--termination-log", "outcome.json")
CONFIG: Mapping[str, Any] = {
    "model_name_or_path": "s3://models/tiny",
    "dataset_name": "s3://datasets/sayings",
    "use_peft": True,
    "lora_r": 4,
    "lora_dropout": 0.2,
    "neftune_noise_alpha": 5.0,
    "learning_rate": 1e-2,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 3,
    "max_length": 64,
    "max_steps": 14,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "save_steps": 4,
    "save_total_limit": 2,
    "eval_strategy": "steps",
    "eval_steps": 5,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A run's files in the store, without those that contain times."""

    step: int
    records: list[dict[str, Any]]
    weights: bytes


@dataclass(slots=True, kw_only=True)
class Tally:
    """The interventions."""

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By kind of kill and phase."""
    attempts: int = 0
    runs: int = 0

    @property
    def phases(self) -> set[str]:
        """The phases in which a kill happened."""
        return {phase for _, phase in self.kills}

    def __str__(self) -> str:
        lines = [
            f"| {way} | {phase} | {count} |" for (way, phase), count in sorted(self.kills.items())
        ]
        total = self.kills.total()
        return "\n".join([f"{self.runs} runs, {self.attempts} attempts, {total} kills", *lines])


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """The environment in which runs are killed."""

    place: Path
    environment: Mapping[str, str]

    def carry_out(self, run: Run, strike: "Strike | None", tally: Tally) -> Outcome | None:
        """One attempt; its outcome, None if it could write none."""
        place = Path(tempfile.mkdtemp(prefix=f"{run.run_id}-{run.attempt}-", dir=self.place))
        (place / "run.json").write_text(run.to_json())
        tally.attempts += 1
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "trainer.warm_ranks", "supervise", *OPTIONS],
                cwd=place,
                env=dict(self.environment),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            if strike is not None:
                strike(process, place, tally)
            code = process.wait(timeout=120)
        outcome = _outcome(place)
        assert outcome is None or outcome.exit_code == code, (place / "log").read_text()
        shutil.rmtree(place / "work", ignore_errors=True)
        return outcome

    def result(self, run: Run) -> Result:
        """The published files of the finished run."""
        store = open_store(f"{run.output_uri}/{run.run_id}", self.environment)
        manifest = json.loads(store.read("manifest.json"))
        lines = store.read("report/metrics.jsonl").decode().splitlines()
        return Result(
            step=manifest["facts"]["result"]["step"],
            records=[
                _timeless(record)
                for line in lines
                # Its summary counts only the last attempt, which may have had no step to train.
                if "train_runtime" not in (record := json.loads(line))
            ],
            weights=store.read("adapter/adapter_model.safetensors"),
        )

    def checkpoint_step(self, run: Run) -> int:
        """The step from which the next attempt would resume."""
        store = open_store(f"{run.output_uri}/{run.run_id}", self.environment)
        found = checkpoints.fetch_newest(store, self.place / "probe", StopRequest())
        shutil.rmtree(self.place / "probe", ignore_errors=True)
        return found.step if found else 0


Strike = Callable[["subprocess.Popen[bytes]", Path, Tally], None]
"""The intervention in a running attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """How an attempt is ended, and how many seconds after the beginning of a phase."""

    way: str
    phase: str
    seconds: float

    def strike(self, process: "subprocess.Popen[bytes]", place: Path, tally: Tally) -> None:
        """Waits for the moment; nothing is killed if the attempt ended before."""
        wait_for_phase(process, place, self.phase)
        try:
            process.wait(self.seconds)
        except subprocess.TimeoutExpired:
            pass
        else:
            return
        ranks = _children(process.pid)
        way = "SIGKILL" if self.way == "rank" and not ranks else self.way
        tally.kills[way, _phases(place)[-1]] += 1
        if way == "rank":
            for rank in ranks:
                os.kill(rank, signal.SIGKILL)
        elif way == "SIGKILL":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            process.wait(GRACE_SECONDS)
            assert time.monotonic() - began < GRACE_SECONDS
            assert process.returncode in (-signal.SIGTERM, ExitCode.INTERRUPTED, 0)


def a_run(number: int) -> Run:
    return Run(
        job=JobReference(namespace="team-a", name=f"killed-{number}", uid=f"uid-{number}"),
        run_id=f"{number:010d}",
        attempt=1,
        config=CONFIG,
        output_uri=f"s3://models/killed-{number}",
        world=World(),
    )


def hunt(arena: Arena, kills: int, seed: int, whole_seconds: float, tally: Tally) -> Iterator[Run]:
    """Kills attempts of one run after the other until this many were killed; each run is then
    finished.

    `whole_seconds` is the duration of an undisturbed attempt.
    """
    draws = _draws(random.Random(seed), whole_seconds)  # noqa: S311 - moments, not secrets
    while (left := kills - tally.kills.total()) > 0:
        tally.runs += 1
        run = a_run(tally.runs)
        while not _is_finished(arena, run, next(draws) if left > 0 else None, tally):
            run = replace(run, attempt=run.attempt + 1)
            left = kills - tally.kills.total()
        yield run


def _draws(dice: random.Random, whole_seconds: float) -> Iterator[Kill]:
    """Every phase in turn, each time in another order."""
    while True:
        for phase in dice.sample(list(SHARES), len(SHARES)):
            seconds = dice.uniform(0, SHARES[phase] * whole_seconds)
            yield Kill(way=dice.choice(WAYS), phase=phase, seconds=seconds)


def _is_finished(arena: Arena, run: Run, kill: Kill | None, tally: Tally) -> bool:
    before = arena.checkpoint_step(run)
    outcome = arena.carry_out(run, kill and kill.strike, tally)
    if outcome is not None and outcome.failure is None:
        return True
    assert kill is not None, outcome
    # After any kill, everything saved before must still exist.
    assert arena.checkpoint_step(run) >= before
    if outcome is not None:
        assert outcome.failure is not None
        assert outcome.failure.reason in ENDINGS, outcome
        assert outcome.failure.category in (Category.INTERRUPTION, Category.INFRASTRUCTURE)
    return False


@contextmanager
def warm_environment(place: Path) -> Iterator[Mapping[str, str]]:
    """The environment for supervisors whose ranks are forked from a process that is kept here."""
    address = place / "ranks"
    warm_ranks.write_stub(place)
    tests = Path(__file__).parents[1]
    paths = [str(tests), *filter(None, [os.environ.get("PYTHONPATH")])]
    wanted = {
        **os.environ,
        warm_ranks.SOCKET: str(address),
        "PYTHONPATH": os.pathsep.join(paths),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "trainer.warm_ranks", "serve", str(address)]
    server = subprocess.Popen(command, env=wanted, start_new_session=True)
    try:
        while not address.exists():
            assert server.poll() is None
            time.sleep(0.1)
        yield wanted
    finally:
        server.kill()
        server.wait()


def wait_for_phase(process: "subprocess.Popen[bytes]", place: Path, phase: str) -> None:
    """Waits until the attempt has reached this phase, or its end."""
    while process.poll() is None and phase not in _phases(place):
        time.sleep(0.005)


def _phases(place: Path) -> list[str]:
    """The phases that the attempt has reached, in order."""
    log = place / "log"
    lines = log.read_text().splitlines() if log.is_file() else []
    told = ["Starting", *(line.rpartition(" ")[2] for line in lines if " phase " in line)]
    if told[-1] != "Training":
        return told
    workspace = Workspace(root=place / "work")
    try:
        progress = Progress.from_body(workspace.progress.read_bytes())
    except FileNotFoundError:
        return [*told[:-1], "Loading"]
    if progress.phase is TrainerPhase.VERIFYING:
        # Checked first: the last step's checkpoint is held back all the time.
        return [*told, "Verifying"]
    if _is_evaluating(workspace):
        return [*told, "Evaluating"]
    return [*told, *(["Uploading"] if workspace.saved_steps() else [])]


def _is_evaluating(workspace: Workspace) -> bool:
    """Whether the newest record is of a step that is followed by an evaluation."""
    lines = workspace.metrics.read_text().splitlines() if workspace.metrics.is_file() else []
    try:
        newest = json.loads(lines[-1])
    except (IndexError, ValueError):
        # There is none, or it is being written.
        return False
    step = newest["step"]
    return step > 0 and step % CONFIG["eval_steps"] == 0 and "eval_loss" not in newest


def _children(process: int) -> list[int]:
    try:
        listed = Path(f"/proc/{process}/task/{process}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(child) for child in listed.split()]


def _outcome(place: Path) -> Outcome | None:
    try:
        return Outcome.from_json((place / "outcome.json").read_text())
    except FileNotFoundError:
        return None


def _timeless(record: Mapping[str, Any]) -> dict[str, Any]:
    timings = ("time", "per_second", "checkpoint_seconds")
    return {
        name: value
        for name, value in record.items()
        if not any(timing in name for timing in timings)
    }
