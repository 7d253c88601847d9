# SPDX-License-Identifier: Apache-2.0
"""A job whose artifact is complete, and a fake of the process that merges.

`ranks/test_merging.py` has the real process.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from finetune_contract.outcome import Failure, Outcome
from finetune_contract.reasons import Reason
from finetune_trainer.attempt.extras import with_extras
from finetune_trainer.exchange.rank_results import RankEnding, RankResult
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.inputs.origins import Origins
from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.progress.reporting import Reporter, silent
from finetune_trainer.publication import artifact
from finetune_trainer.publication.report.story import RunFacts
from finetune_trainer.storage.folder import FolderStore
from finetune_trainer.supervision import launching
from finetune_trainer.supervision.context import AttemptContext
from trainer.runs import a_folder, a_parsed_run

BASE = {"config.json": b'{"model_type": "llama"}', "model.safetensors": b"base"}
RESULT = RankResult(rank=0, time=0, ending=RankEnding.FINISHED, step=4, total_steps=4)


@dataclass
class Merging:
    """A fake of the process that merges: writes the given result, or ends in the given way."""

    failure: Failure | None = None
    ended: launching.Ended = field(default_factory=lambda: launching.Ended(exit_code=0))
    is_silent: bool = False
    """It was killed before it could write a result."""
    also: Callable[[], None] = lambda: None
    """Runs in the meantime."""
    configs: list[dict[str, Any]] = field(default_factory=list)
    """The config of each such process."""

    def __call__(self, launch: launching.Launch, module: str, stop: StopRequest) -> launching.Ended:
        workspace = launch.workspace
        self.configs.append(yaml.safe_load(workspace.merging_config.read_text()))
        self.also()
        result = RankResult(rank=0, time=time.time(), ending=RankEnding.RUNNING)
        if not self.is_silent and self.ended.exit_code == 0:
            ending = RankEnding.FAILED if self.failure else RankEnding.FINISHED
            result = RankResult(rank=0, time=0, ending=ending, failure=self.failure)
        if not self.is_silent:
            workspace.merging_result.write_text(result.to_json())
        if result.ending is RankEnding.FINISHED:
            a_folder(workspace.merged, {"model.safetensors": b"merged", "config.json": b"{}"})
        return self.ended


class Job:
    """A job with `merge_adapter`, whose adapter is complete in its location."""

    def __init__(self, place: Path, **config: Any) -> None:
        self.base = a_folder(place / "base", BASE)
        self.output = FolderStore(place / "out")
        self.environment: dict[str, str] = {}
        self.run: ParsedRun = a_parsed_run(
            output=self.output.uri,
            **{"merge_adapter": True, "model_name_or_path": str(self.base), **config},
        )
        self.store = FolderStore(place / "out" / self.run.run_id)
        self.place = place
        self.attempts = 0
        workspace = self.new_pod()
        a_folder(workspace.artifact, {"adapter_config.json": b"{}", "a.safetensors": b"adapter"})
        told = RunFacts(digests={"model": self._base_entry()})
        self.published: Outcome = artifact.publish(
            self.output, self.store, self.run, workspace, RESULT, told
        )
        self.workspace = workspace

    def _base_entry(self) -> Any:
        """The base model's entry in the report."""
        name = self.run.config["model_name_or_path"]
        if name == str(self.base):
            return Origins([("model_name_or_path", name)], {name: self.base}).digests()["model"]
        return {"name": name, "revision": "c0ffee"}

    def new_pod(self) -> Workspace:
        """Another work directory, without the contents of the previous ones."""
        self.attempts += 1
        root = self.place / f"pod-{self.attempts}"
        root.mkdir()
        return Workspace(root=root)

    def carry_on(self, merging: Merging, stop: StopRequest | None = None) -> Outcome:
        """The steps after publication, in the attempt that has trained."""
        return self._extras(self.workspace, merging, stop, {str(self.base): self.base})

    def run_again(self, merging: Merging) -> Outcome:
        """An attempt that finds the run complete."""
        return self._extras(self.new_pod(), merging, None, None)

    def _extras(
        self,
        workspace: Workspace,
        merging: Merging,
        stop: StopRequest | None,
        paths: dict[str, Path] | None,
    ) -> Outcome:
        found = artifact.published_outcome(self.store, StopRequest())
        assert found is not None
        context = AttemptContext(
            workspace=workspace,
            environment=self.environment,
            hardware=Hardware(gpus=0, cpus=2),
            stop=stop or StopRequest(),
            reporter=Reporter(workspace, silent, 5.0, attempt=1),
            grace_seconds=30.0,
        )
        with mock.patch.object(launching, "run_alone", merging):
            return with_extras(self.run, context, self.store, found, paths)

    @property
    def is_merged(self) -> bool:
        return {"model/model.safetensors", "merged.json"} <= set(self.store.sizes())


def failing(reason: Reason, message: str, remedy: str = "") -> Merging:
    return Merging(failure=reason.failure(message, remedy))
