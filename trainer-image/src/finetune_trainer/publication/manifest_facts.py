# SPDX-License-Identifier: Apache-2.0
"""The facts of a run's manifest, as they are read again. No I/O here.

Any user who can write to the output location may have written them, and they become the outcome of
the next attempt: its figures, and the location that others download from.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from finetune_contract import layout
from finetune_contract.codec import read_object, require_counts
from finetune_contract.documents import InvalidDocument
from finetune_contract.notes import FIRST_NOTES, Note
from finetune_trainer.storage.manifest import ArtifactManifest

KINDS = (layout.ADAPTER, layout.MODEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedResult:
    """The result of the training."""

    step: int
    total_steps: int
    world_size: int
    verified: bool
    figures: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    """Empty, like the notes, for runs that were published before they existed."""
    notes: tuple[Note, ...] = field(default=(), metadata=FIRST_NOTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestFacts:
    """The facts that are read again; others are ignored."""

    artifact: str
    """The directory of the artifact: one of `KINDS`."""
    result: PublishedResult


def facts_of(manifest: ArtifactManifest) -> ManifestFacts:
    """
    Raises:
        InvalidDocument: they are not those of a complete run.
    """
    facts = read_object(ManifestFacts, dict(manifest.facts), "facts")
    if facts.artifact not in KINDS:
        expected = f"{layout.ADAPTER} or {layout.MODEL}"
        raise InvalidDocument(f"facts.artifact is {facts.artifact!r:.60}, expected {expected}")
    require_counts(facts.result, "facts.result")
    figures = {name: it for name, it in facts.result.figures.items() if math.isfinite(it)}
    return replace(facts, result=replace(facts.result, figures=figures))
