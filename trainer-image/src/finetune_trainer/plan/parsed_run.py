# SPDX-License-Identifier: Apache-2.0
"""A run inside the trainer: the document's config is parsed once, here. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from finetune_contract.run import JobReference, Run, World
from finetune_spec.config import SftConfig, read_config
from finetune_spec.config.parse.schema import NEWEST, known_versions, load_schema


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
