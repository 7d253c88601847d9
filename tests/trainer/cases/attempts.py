# SPDX-License-Identifier: Apache-2.0
"""Carries out the job of a case, with all of its rows in one epoch, in the test's own process."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trainer.cases.models import Models
from trainer.cases.watching import Row, watched
from trainer.in_process import USUAL, Trained, train

FILES = Path(__file__).parent / "files"
NAMES = sorted(folder.name for folder in FILES.iterdir())

ALL_ROWS = {"max_steps": None, "num_train_epochs": 1, "save_strategy": "no", "save_steps": None}
"""In place of the two steps that the jobs have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a case ended."""

    trained: Trained
    rows: Sequence[Row]
    """What the model was given, sorted."""

    @property
    def verdict(self) -> str:
        """The reason of its failure, or that there is none."""
        failure = self.trained.outcome.failure
        return "Succeeded" if failure is None else failure.reason

    @property
    def words(self) -> str:
        """All that its user is told: the failure with its remedy, and the notes."""
        outcome = self.trained.outcome
        failed = [] if outcome.failure is None else [self.trained.words()]
        return "\n".join([*failed, *(f"{note.severity}: {note.message}" for note in outcome.notes)])


def carry_out(name: str, models: Models, place: Path, **changed: Any) -> Ended:
    """The case's job; a key of None is taken out of its config."""
    case = FILES / name
    config = yaml.safe_load((case / "job.yaml").read_text())["spec"]["config"]
    config = {**dict.fromkeys(USUAL), **config, **ALL_ROWS, **changed}
    model = models.called(Path(config.pop("model_name_or_path")).name)
    data = case / config.pop("dataset_name")
    with watched() as rows:
        trained = train(place, model, data, **config)
    return Ended(trained=trained, rows=tuple(sorted(rows)))
