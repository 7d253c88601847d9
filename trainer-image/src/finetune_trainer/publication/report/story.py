# SPDX-License-Identifier: Apache-2.0
"""The facts of a finished run. No I/O here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from finetune_contract.notes import Note
from finetune_spec.base_model.adapters import WEIGHTS
from finetune_spec.config.parse.sft_config import DATA, MIXTURE
from finetune_spec.memory.sharding import find_sharding
from finetune_trainer.exchange.data_account import DataAccount
from finetune_trainer.exchange.history import Record
from finetune_trainer.failures.redaction import HIDDEN, Redaction, is_secret_name
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.publication.base_model import BaseModel

_KEPT_BACK = ("env", "hub_token", "push_to_hub_token")
"""Keys that may contain secrets."""

_DIGITS = 12
_WITHOUT = Redaction()
"""Removes values that look like a secret anywhere: in an address, or by their format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """The facts of the attempt that finished the run. None, or empty, if unknown."""

    resumed_from_step: int = 0
    phase_seconds: Mapping[str, float] = field(default_factory=dict)
    estimated_memory_bytes: int | None = None
    peak_memory_bytes: int | None = None
    tokens_per_second: float | None = None
    """Over the newest records; the mean is computed here."""
    hardware: str = ""
    """The GPUs, their driver and their connection by NCCL, in words."""
    base_is_folder: bool = False
    """Whether the base model's name is a local directory, though possibly also on the hub."""
    repository: str | None = None
    """On the hub, if the artifact is pushed."""
    resolved_config: Mapping[str, Any] = field(default_factory=dict)
    """The input of TRL's parser, with the names that the user wrote."""
    digests: Mapping[str, Any] = field(default_factory=dict)
    """Digests of the base model and of the data."""
    local_trackers: Sequence[str] = ()
    """Trackers that sent nothing anywhere: their files are published."""
    licence: str | None = None
    """The base model's, in its own words."""
    redaction: Redaction = field(default_factory=Redaction)
    """Removes this attempt's known secrets from every text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """The facts of a finished run."""

    run: ParsedRun
    history: Sequence[Record]
    samples: Sequence[Mapping[str, Any]]
    """Held-out prompts: `prompt`, `expected`, `before`, `after`."""
    figures: Mapping[str, float]
    step: int
    world_size: int
    versions: Mapping[str, str]
    is_adapter: bool
    is_to_be_merged: bool = False
    """Whether the adapter is merged into a full model after it is published."""
    has_processor: bool = False
    """Whether the model has a processor instead of a tokenizer, because it also reads images."""
    added_tokens: Sequence[str] = ()
    trains_token_rows: bool = False
    """Whether the adapter contains rows of the vocabulary: of added tokens or of a template's."""
    account: DataAccount | None = None
    attention: str = ""
    """The attention implementation and the reason; empty if unknown."""
    note: str = ""
    """A note on a success, for example about unverified parts; usually empty."""
    notes: Sequence[Note] = ()
    """Other notes for its user, warnings first."""
    run_facts: RunFacts = field(default_factory=RunFacts)

    @property
    def base_model(self) -> str:
        """The name that the user wrote."""
        return _WITHOUT.text(str(self.run.config["model_name_or_path"]))

    @property
    def base(self) -> BaseModel:
        """How it is loaded."""
        config = self.run.config
        return BaseModel.of(
            str(config["model_name_or_path"]),
            config["model_revision"],
            is_folder=self.run_facts.base_is_folder,
        )

    @property
    def base_of_adapter(self) -> BaseModel:
        """The same for an adapter that was trained."""
        return BaseModel.of_adapter(self.run, is_folder=self.run_facts.base_is_folder)

    @property
    def starting_adapter(self) -> str:
        """The name and the digest of the adapter that training began with; empty without one."""
        if self.run.starting is None:
            return ""
        name = f"`{_WITHOUT.text(self.run.starting.name)}`"
        entry = self.run_facts.digests.get("adapter") or {}
        digest = entry.get("files", {}).get(WEIGHTS)
        return f"{name} (sha256:{digest[:_DIGITS]})" if digest else name

    @property
    def first_evaluation(self) -> str:
        """The name of the eval loss before the training."""
        if self.run.starting is None:
            return "eval loss of the base model"
        return "eval loss with the adapter, before training"

    @property
    def data_sets(self) -> tuple[str, ...]:
        """The training data, by the names that the user wrote."""
        return tuple(
            _WITHOUT.text(name) for key, name in self.run.config.sources if key in (MIXTURE, DATA)
        )

    @property
    def max_length(self) -> int | None:
        """The length at which rows are cut; None for no limit."""
        length: int | None = self.run.config["max_length"]
        return length

    @property
    def strategy(self) -> str:
        """How the processes shared the work."""
        return find_sharding(self.run.config, self.world_size).name

    @property
    def mean_tokens_per_second(self) -> float | None:
        """Over the attempt that finished the run, including evaluations."""
        seconds = self._last("train_runtime")
        tokens = self._last("num_tokens")
        if not seconds or tokens is None:
            return self.run_facts.tokens_per_second
        before = [
            float(record["num_tokens"])
            for record in self.history
            if "num_tokens" in record and record.get("step", 0) <= self.run_facts.resumed_from_step
        ]
        return (tokens - (before[-1] if before else 0.0)) / seconds

    def _last(self, name: str) -> float | None:
        values = [record[name] for record in self.history if name in record]
        return float(values[-1]) if values else None


def config_text(config: Mapping[str, Any]) -> str:
    """The config as YAML, without the values of `env`."""
    shown = {key: _shown(value) for key, value in config.items() if key not in _KEPT_BACK}
    return yaml.safe_dump(shown, sort_keys=True, allow_unicode=True)


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return _WITHOUT.text(value)
    if isinstance(value, Mapping):
        return {
            # Here and not in the text: YAML folds and escapes long values.
            key: HIDDEN if isinstance(item, str) and is_secret_name(key) else _shown(item)
            for key, item in value.items()
        }
    return [_shown(item) for item in value] if isinstance(value, list | tuple) else value
