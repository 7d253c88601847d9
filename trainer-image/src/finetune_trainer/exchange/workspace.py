# SPDX-License-Identifier: Apache-2.0
"""The work folder: where supervisor and ranks leave things for each other."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

TRAINING_ARGUMENTS = "training_args.bin"
"""What the Trainer leaves beside weights: a pickle that may hold tokens, and that nothing of ours
reads. It never leaves the work folder."""

_STEP_PREFIX = "step-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """Paths in one attempt's work folder."""

    root: Path

    @property
    def inputs(self) -> Path:
        """Model and data, as fetched."""
        return self.root / "inputs"

    @property
    def config(self) -> Path:
        """The resolved config that the ranks parse with TRL's own parser."""
        return self.root / "config.yaml"

    @property
    def rank_settings(self) -> Path:
        """What else the ranks must know."""
        return self.root / "rank_settings.json"

    @property
    def preparation(self) -> Path:
        """The same for the process that prepares the data ahead, which is alone."""
        return self.root / "preparation.yaml"

    @property
    def training(self) -> Path:
        """TRL's `output_dir`; the checkpoint to go on from is fetched into it."""
        return self.root / "training"

    @property
    def saved(self) -> Path:
        """Finished checkpoints, handed to the supervisor for uploading."""
        return self.root / "saved"

    @property
    def results(self) -> Path:
        """Each rank's own account of how it ended."""
        return self.root / "results"

    @property
    def artifact(self) -> Path:
        return self.root / "artifact"

    @property
    def report(self) -> Path:
        return self.root / "report"

    @property
    def metrics(self) -> Path:
        """Every record that the trainer logged, one JSON object a line."""
        return self.root / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        """Answers to held-out prompts before and after training."""
        return self.root / "samples.json"

    @property
    def data_account(self) -> Path:
        """What became of the rows of the data: read, dropped, cut, packed."""
        return self.root / "data.json"

    @property
    def movement(self) -> Path:
        """Of each trained tensor whether it has moved, and why not."""
        return self.root / "movement.json"

    @property
    def trackers(self) -> Path:
        """What trackers without a server write, a folder each."""
        return self.root / "trackers"

    @property
    def merged(self) -> Path:
        """The base model with the adapter merged into it."""
        return self.root / "merged"

    @property
    def merging_config(self) -> Path:
        """What merging is told of the base model."""
        return self.root / "merging.yaml"

    @property
    def merging_result(self) -> Path:
        """How merging ended."""
        return self.root / "merging.json"

    @property
    def nccl(self) -> Path:
        """What NCCL says when it connects the ranks, a file for each of them."""
        return self.root / "nccl"

    @property
    def hub(self) -> Path:
        """Links to checkpoints that are being pushed."""
        return self.root / "hub"

    @property
    def progress(self) -> Path:
        return self.root / "progress.json"

    @property
    def stop(self) -> Path:
        """Its existence asks the ranks to stop at the next step boundary."""
        return self.root / "stop"

    @property
    def log(self) -> Path:
        """What the ranks print, where it would disturb the terminal."""
        return self.root / "ranks.log"

    def clear(self) -> None:
        """Remove what an earlier attempt left, where a work folder is used again."""
        made = (self.results, self.saved, self.training, self.artifact, self.merged, self.report)
        for folder in (*made, self.trackers, self.nccl, self.hub):
            shutil.rmtree(folder, ignore_errors=True)
        files = (self.stop, self.progress, self.metrics, self.samples, self.data_account, self.log)
        for file in (*files, self.movement, self.merging_config, self.merging_result):
            file.unlink(missing_ok=True)

    def result(self, rank: int) -> Path:
        return self.results / f"rank-{rank}.json"

    def heartbeat(self, rank: int) -> Path:
        """What a rank is doing; its age says for how long."""
        return self.results / f"rank-{rank}.heartbeat"

    @property
    def ends(self) -> Path:
        """How the elastic launcher saw ranks end that could not say so themselves."""
        return self.results / "ends.json"

    def saved_checkpoint(self, step: int) -> Path:
        return self.saved / f"{_STEP_PREFIX}{step}"

    def saved_steps(self) -> list[int]:
        """The checkpoints that wait for uploading, oldest first."""
        if not self.saved.is_dir():
            return []
        names = (folder.name for folder in self.saved.iterdir())
        digits = (name.removeprefix(_STEP_PREFIX) for name in names)
        return sorted(int(step) for step in digits if step.isdecimal())


def write_atomically(path: Path, body: str | bytes) -> None:
    """Readers see the old file or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(body.encode() if isinstance(body, str) else body)
    draft.replace(path)
