# SPDX-License-Identifier: Apache-2.0
"""The work directory: the files that supervisor and ranks exchange."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

TRAINING_ARGUMENTS = "training_args.bin"
"""The Trainer saves it next to weights: a pickle that may contain tokens, and that no code of ours
reads. It never leaves the work directory.
"""

_STEP_PREFIX = "step-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """Paths in one attempt's work directory."""

    root: Path

    @property
    def inputs(self) -> Path:
        """Model and data, as fetched."""
        return self.root / "inputs"

    @property
    def adapter(self) -> Path:
        """The adapter that training continues, with its checked options only."""
        return self.root / "adapter"

    @property
    def config(self) -> Path:
        """The resolved config that the ranks parse with TRL's own parser."""
        return self.root / "config.yaml"

    @property
    def rank_settings(self) -> Path:
        """The other settings of the ranks."""
        return self.root / "rank_settings.json"

    @property
    def preparation(self) -> Path:
        """The same for the process that prepares the data in advance, which runs alone."""
        return self.root / "preparation.yaml"

    @property
    def training(self) -> Path:
        """TRL's `output_dir`; a checkpoint to resume from is fetched into it."""
        return self.root / "training"

    @property
    def saved(self) -> Path:
        """Finished checkpoints, handed to the supervisor for uploading."""
        return self.root / "saved"

    @property
    def results(self) -> Path:
        """The result of each rank."""
        return self.root / "results"

    @property
    def artifact(self) -> Path:
        return self.root / "artifact"

    @property
    def report(self) -> Path:
        return self.root / "report"

    @property
    def metrics(self) -> Path:
        """Every record that the trainer logged, one JSON object per line."""
        return self.root / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        """Answers to held-out prompts before and after training."""
        return self.root / "samples.json"

    @property
    def data_account(self) -> Path:
        """The account of the rows: read, dropped, cut, packed."""
        return self.root / "data.json"

    @property
    def movement(self) -> Path:
        """For each trained tensor whether it has changed, and why not."""
        return self.root / "movement.json"

    @property
    def trackers(self) -> Path:
        """Files of trackers without a server, one directory each."""
        return self.root / "trackers"

    @property
    def merged(self) -> Path:
        """The base model with the adapter merged into it."""
        return self.root / "merged"

    @property
    def merging_config(self) -> Path:
        """The config of the base model for merging."""
        return self.root / "merging.yaml"

    @property
    def merging_result(self) -> Path:
        """The result of merging."""
        return self.root / "merging.json"

    @property
    def nccl(self) -> Path:
        """NCCL's log about the connections of the ranks, one file per rank."""
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
        """Its existence makes the ranks stop at the next step boundary."""
        return self.root / "stop"

    @property
    def log(self) -> Path:
        """The ranks' output, if it would disturb the terminal."""
        return self.root / "ranks.log"

    def clear(self) -> None:
        """Removes files of an earlier attempt, if a work directory is used again."""
        made = (self.results, self.saved, self.training, self.artifact, self.merged, self.report)
        for folder in (*made, self.adapter, self.trackers, self.nccl, self.hub):
            shutil.rmtree(folder, ignore_errors=True)
        files = (self.stop, self.progress, self.metrics, self.samples, self.data_account, self.log)
        for file in (*files, self.movement, self.merging_config, self.merging_result):
            file.unlink(missing_ok=True)

    def result(self, rank: int) -> Path:
        return self.results / f"rank-{rank}.json"

    def heartbeat(self, rank: int) -> Path:
        """A rank's current activity; the file's age is the time since its last progress."""
        return self.results / f"rank-{rank}.heartbeat"

    @property
    def ends(self) -> Path:
        """The ends of ranks that wrote no result, as seen by the elastic launcher."""
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
    """Readers see the old file or the new one, never a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(body.encode() if isinstance(body, str) else body)
    draft.replace(path)
