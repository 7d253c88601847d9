# SPDX-License-Identifier: Apache-2.0
"""A complete attempt in the test's own process: the supervisor's and the rank's work.

Everything is real except launching a process for the rank, which takes a quarter of a minute to
import torch: plan, config file, TRL's parser and trainer, checkpoints, verification, publication
into a directory. Launching has separate tests.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from finetune_contract.outcome import Outcome
from finetune_contract.run import JobReference, Run, World
from finetune_trainer.attempt.stages import carry_out
from finetune_trainer.exchange.rank_results import RankEnding, RankResult
from finetune_trainer.exchange.rank_settings import LAUNCHER_VARIABLES, RankSettings
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.classification import classify
from finetune_trainer.failures.errors import Stage
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.plan.exclusions import DEEPSPEED
from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.progress.reporting import Reporter, silent
from finetune_trainer.supervision import launching, merging
from finetune_trainer.supervision.context import AttemptContext
from trainer import imported

USUAL: Mapping[str, Any] = {
    "use_peft": True,
    "lora_r": 4,
    "max_steps": 2,
    "per_device_train_batch_size": 2,
    "learning_rate": 1e-2,
    "max_length": 64,
    "save_strategy": "no",
}
"""A short run, unless a test sets other values; None removes a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """The results of an attempt."""

    outcome: Outcome
    workspace: Workspace
    run: Run

    @property
    def published(self) -> Path:
        """The run's directory in the output location."""
        return Path(self.run.output_uri.removeprefix("file://")) / self.run.run_id

    @property
    def report(self) -> Path:
        return self.published / "report"

    def records(self) -> list[dict[str, Any]]:
        """Every record of the published `metrics.jsonl`."""
        lines = (self.report / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def losses(self) -> list[float]:
        return [record["loss"] for record in self.records() if "loss" in record]

    def fates(self) -> dict[str, str]:
        """The fate of each trained tensor, over all ranks: "moved", or why not."""
        fates: dict[str, str] = json.loads(self.workspace.movement.read_text())
        return fates

    def words(self) -> str:
        """Reason, message and remedy of the failure, for tests of what a user reads."""
        failure = self.outcome.failure
        assert failure is not None
        return f"{failure.reason}: {failure.message} | {failure.remedy}"


def a_run(place: Path, model: Path, data: Path | str, /, **config: Any) -> Run:
    """A run that writes below `place`; a config value of None removes the key."""
    settings = {
        "model_name_or_path": str(model),
        "dataset_name": str(data),
        **USUAL,
        **config,
    }
    return Run(
        job=JobReference(namespace="team-a", name="small", uid="uid-1"),
        run_id="0123456789",
        attempt=1,
        config={key: value for key, value in settings.items() if value is not None},
        output_uri=(place / "out").as_uri(),
        world=World(),
    )


def train(place: Path, model: Path, data: Path | str, /, **config: Any) -> Trained:
    """Carries out one attempt, without a GPU, and returns its results."""
    return carry_out_here(a_run(place, model, data, **config), place)


def carry_out_here(
    run: Run,
    place: Path,
    stop: StopRequest | None = None,
    merge: Callable[..., launching.Ended] | None = None,
) -> Trained:
    """Carries out an attempt; `merge` replaces the merging process, which otherwise also runs
    here.
    """
    workspace = Workspace(root=place / "work")
    workspace.root.mkdir(parents=True, exist_ok=True)
    context = AttemptContext(
        workspace=workspace,
        environment=os.environ,
        hardware=Hardware(gpus=0, cpus=2),
        stop=stop or StopRequest(),
        reporter=Reporter(workspace, silent, 5.0, attempt=run.attempt),
        grace_seconds=30.0,
    )
    with (
        mock.patch.object(launching, "run_ranks", _one_rank_here),
        mock.patch.object(launching, "run_alone", merge or _merge_here),
    ):
        return Trained(outcome=carry_out(run, context), workspace=workspace, run=run)


def _one_rank_here(launch: launching.Launch, stop: StopRequest) -> list[RankResult]:
    """The work of `ranks.rank`, without a separate process."""
    sys.modules.setdefault(DEEPSPEED, None)
    from finetune_trainer.ranks.training import train as train_rank

    imported.keep()
    del stop
    settings = RankSettings.from_json(launch.workspace.rank_settings.read_text())
    with _environment(launch.environment):
        try:
            result = train_rank(settings, launch.workspace, 0)
        except Exception as error:  # noqa: BLE001 - as a rank does
            failure = classify(error, Stage.TRAINING)
            result = RankResult(rank=0, time=0, ending=RankEnding.FAILED, failure=failure)
    return [replace(result, time=1.0)]


def _merge_here(launch: launching.Launch, module: str, stop: StopRequest) -> launching.Ended:
    """The work of `ranks.merge`, without a separate process."""
    assert module == merging.PROCESS
    sys.modules.setdefault(DEEPSPEED, None)
    from finetune_trainer.ranks.merge import main

    imported.keep()
    del stop
    with _environment(launch.environment):
        return launching.Ended(exit_code=main(launch.workspace))


@contextmanager
def _environment(environment: Mapping[str, str]) -> Iterator[None]:
    """Sets the rank's environment, and resets accelerate's state of an earlier training."""
    from accelerate.state import AcceleratorState, GradientState, PartialState

    wanted = {k: v for k, v in environment.items() if k not in LAUNCHER_VARIABLES}
    wanted |= {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    with mock.patch.dict(os.environ, wanted, clear=True):
        try:
            yield
        finally:
            for state in (AcceleratorState, GradientState, PartialState):
                state._reset_state()
