# SPDX-License-Identifier: Apache-2.0
"""A run inside the trainer: the document's config is parsed once, here. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from finetune_contract.run import JobReference, Run, World
from finetune_spec.base_model.adapters import Adapter
from finetune_spec.config import SftConfig, read_config
from finetune_spec.config.parse.schema import NEWEST, known_versions, load_schema
from finetune_spec.config.parse.sft_config import AS_MODEL, MERGE


@dataclass(frozen=True, slots=True, kw_only=True)
class StartingAdapter:
    """The adapter that `model_name_or_path` names: training begins with it."""

    name: str
    """As the user wrote it."""
    folder: Path
    """Its files, as fetched."""
    is_folder: bool
    """Whether its name is a local directory, though possibly also on the hub."""
    adapter: Adapter
    tensors: Mapping[str, tuple[int, ...]]
    written: Mapping[str, Any]
    """The user's config as TRL would parse it, for cards and reports."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The keys of the config that it has determined: the base model, and what is trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRun:
    """One attempt at a run."""

    job: JobReference
    run_id: str
    attempt: int
    config: SftConfig
    """The user's config, with this attempt's adjustments."""
    output_uri: str
    world: World
    adjustments: Mapping[str, Any]
    """The adjustments, for the report. The config already includes them."""
    starting: StartingAdapter | None = None
    """An adapter in place of a model. The config then names its base model."""

    @property
    def written(self) -> Mapping[str, Any]:
        """The user's config as TRL would parse it, with this attempt's adjustments."""
        if self.starting is None:
            return self.config.resolved
        kept = {
            key: value
            for key, value in self.config.resolved.items()
            if key not in self.starting.settings
        }
        own = {
            key: value
            for key, value in self.starting.written.items()
            if key in self.starting.settings
        }
        return {**kept, **own}

    @property
    def has_merged_base(self) -> bool:
        """Whether the base model of the training exists nowhere else."""
        return self.config[AS_MODEL] == MERGE

    def starting_from(self, starting: StartingAdapter) -> "ParsedRun":
        """The run with the base model of this adapter, and with what it trains."""
        config = self.config.adjusted(starting.settings)
        return replace(self, config=config, starting=starting)

    def adjusted(self, settings: Mapping[str, Any]) -> "ParsedRun":
        """The run with further adjustments."""
        return replace(
            self,
            config=self.config.adjusted(settings),
            adjustments={**self.adjustments, **settings},
        )


def parse_run(document: Run, trl_version: str = NEWEST) -> ParsedRun:
    """The run of this document, with the keys of this TRL, or of the newest if it has no schema.

    It is not checked yet.
    """
    schema = load_schema(trl_version if trl_version in known_versions() else NEWEST)
    return ParsedRun(
        job=document.job,
        run_id=document.run_id,
        attempt=document.attempt,
        config=read_config({**document.config, **document.adjustments}, schema),
        output_uri=document.output_uri,
        world=document.world,
        adjustments=document.adjustments,
    )
