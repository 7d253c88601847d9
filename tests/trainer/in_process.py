# SPDX-License-Identifier: Apache-2.0
"""A whole attempt in the test's own process: what the supervisor does, and a rank's work in it.

Everything is real but the launching of a process for the rank, which takes a quarter of a minute
for importing torch: plan, config file, TRL's parser and trainer, checkpoints, verification,
publication into a folder. Launching has tests of its own.
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
"""A short run, unless a test says otherwise; None takes a key out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What an attempt left behind."""

    outcome: Outcome
    workspace: Workspace
    run: Run

    @property
    def published(self) -> Path:
        """The run's folder in the output place."""
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
        """What became of each trained tensor, by all ranks' knowledge: "moved", or why not."""
        fates: dict[str, str] = json.loads(self.workspace.movement.read_text())
        return fates

    def words(self) -> str:
        """Reason, message and remedy of the failure, for tests of what a user reads."""
        failure = self.outcome.failure
        assert failure is not None
        return f"{failure.reason}: {failure.message} | {failure.remedy}"


def a_run(place: Path, model: Path, data: Path | str, /, **config: Any) -> Run:
    """A run that writes below `place`; a config value of None takes the key out."""
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
    """Carry out one attempt, with no GPU, and give what came of it."""
    return carry_out_here(a_run(place, model, data, **config), place)


def carry_out_here(
    run: Run,
    place: Path,
    stop: StopRequest | None = None,
    merge: Callable[..., launching.Ended] | None = None,
) -> Trained:
    """Carry out an attempt; `merge` is what merges, unless that is to be done here, too."""
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
    """What `ranks.rank` does, without a process of its own."""
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
    """What `ranks.merge` does, without a process of its own."""
    assert module == merging.PROCESS
    sys.modules.setdefault(DEEPSPEED, None)
    from finetune_trainer.ranks.merge import main

    imported.keep()
    del stop
    with _environment(launch.environment):
        return launching.Ended(exit_code=main(launch.workspace))


@contextmanager
def _environment(environment: Mapping[str, str]) -> Iterator[None]:
    """The rank's environment; and accelerate forgets what it knew of an earlier training."""
    from accelerate.state import AcceleratorState, GradientState, PartialState

    wanted = {k: v for k, v in environment.items() if k not in LAUNCHER_VARIABLES}
    wanted |= {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    with mock.patch.dict(os.environ, wanted, clear=True):
        try:
            yield
        finally:
            for state in (AcceleratorState, GradientState, PartialState):
                state._reset_state()
