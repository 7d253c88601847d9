# SPDX-License-Identifier: Apache-2.0
"""The training input of a trainer, without training: the tokens and labels for a config."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trainer.runs import a_folder

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A trainer that is ready to train."""

    trainer: Any
    loaded: Any
    """The data in the trainer's form, with rows that were left out, and notes."""

    def notes(self) -> dict[str, str]:
        """The message of each note on the data, by severity and reason."""
        return {f"{note.severity} {note.reason}": note.message for note in self.loaded.notes}

    def tokens(self) -> list[list[int]]:
        return [row["input_ids"] for row in self.trainer.train_dataset]

    def texts(self) -> list[str]:
        return [self.trainer.processing_class.decode(row) for row in self.tokens()]

    def trained(self) -> list[str]:
        """For each row the text whose tokens count for the loss."""
        rows = self.trainer.train_dataset
        decode = self.trainer.processing_class.decode
        return [decode([label for label in row["labels"] if label != -100]) for row in rows]

    def batch(self) -> dict[str, Any]:
        """All rows in the model's form."""
        wanted = ("input_ids", "labels", "seq_lengths")
        rows = [
            {name: row[name] for name in wanted if name in row}
            for row in self.trainer.train_dataset
        ]
        batch: dict[str, Any] = self.trainer.data_collator(rows)
        return batch


def data_of(place: Path, rows: Rows) -> Path:
    """A directory with these rows for training."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    return a_folder(place / "data", {"train.jsonl": text.encode()})


def prepare(place: Path, model: Path, rows: Rows, /, *, cpus: int = 1, **config: Any) -> Prepared:
    """The trainer for a config, built as in a rank.

    Raises:
        AttemptFailed: as in a rank.
    """
    from finetune_trainer.ranks.arguments import read_arguments
    from finetune_trainer.ranks.building import build_trainer, load_processor
    from finetune_trainer.ranks.data import prepare_data
    from finetune_trainer.ranks.data.fitting import fit_to_template

    settings = {
        "model_name_or_path": str(model),
        "dataset_name": str(data_of(place, rows)),
        "output_dir": str(place / "training"),
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        **config,
    }
    (place / "config.yaml").write_text(yaml.safe_dump(settings))
    arguments = read_arguments(place / "config.yaml", cpus)
    loaded = fit_to_template(prepare_data(arguments), arguments, load_processor(arguments))
    return Prepared(trainer=build_trainer(arguments, loaded.dataset), loaded=loaded)


def said(*turns: str) -> dict[str, Any]:
    """A conversation in which user and assistant take turns."""
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": words} for i, words in enumerate(turns)]
    return {"messages": messages}
