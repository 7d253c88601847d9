# SPDX-License-Identifier: Apache-2.0
"""Carries out the job of a case, with all of its rows in one epoch, in the test's own process."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from trainer.cases.models import Models
from trainer.cases.watching import Row, watched
from trainer.in_process import Trained, a_run, carry_out_here

FILES = Path(__file__).parent / "files"
NAMES = sorted(folder.name for folder in FILES.iterdir())
OUT: Any = object()
"""In place of a key's value: the key is removed, which null in a config does not do."""
ALL_ROWS = {"max_steps": OUT, "num_train_epochs": 1, "save_strategy": "no", "save_steps": OUT}
"""In place of the two steps of the jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a case ended."""

    trained: Trained
    rows: Sequence[Row]
    """The model's input, sorted."""

    @property
    def verdict(self) -> str:
        """The reason of its failure, or that there is none."""
        failure = self.trained.outcome.failure
        return "Succeeded" if failure is None else failure.reason

    def figure(self, name: str) -> float | None:
        """One of the outcome's."""
        return (self.trained.outcome.figures or {}).get(name)

    @property
    def words(self) -> str:
        """All messages for its user: the failure with its remedy, and the notes."""
        outcome = self.trained.outcome
        failed = [] if outcome.failure is None else [self.trained.words()]
        return "\n".join([*failed, *(f"{note.severity}: {note.message}" for note in outcome.notes)])


def carry_out(name: str, models: Models, place: Path, **changed: Any) -> Ended:
    """The case's job; `changed` is written into its config."""
    return carry_out_job(name, models, place, None, **changed)


def carry_out_job(
    name: str, models: Models, place: Path, data: Path | None, **changed: Any
) -> Ended:
    """The same with other data, unless these are None."""
    folder = FILES / name
    written = {**yaml.safe_load((folder / "job.yaml").read_text())["spec"]["config"], **ALL_ROWS}
    config = {key: value for key, value in {**written, **changed}.items() if value is not OUT}
    model = models.called(Path(config["model_name_or_path"]).name)
    data = data or folder / config["dataset_name"]
    config |= {"model_name_or_path": str(model), "dataset_name": str(data)}
    run = replace(a_run(place, model, data), config=config)
    with watched() as rows:
        trained = carry_out_here(run, place)
    return Ended(trained=trained, rows=tuple(sorted(rows)))
