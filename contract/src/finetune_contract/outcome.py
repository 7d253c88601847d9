# SPDX-License-Identifier: Apache-2.0
"""The outcome: the trainer's termination message, and its exit codes. No I/O here."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum

from finetune_contract.codec import document_of, formerly, read_object, require_counts
from finetune_contract.documents import InvalidDocument, parse_object, version_of
from finetune_contract.limits import MAX_HARDWARE, MAX_NOTE, MAX_OUTCOME_BYTES
from finetune_contract.notes import FIRST_NOTES, Note, bounded

OUTCOME_VERSION = 1

_MOSTLY_EMPTY = ("microBatch", "note", "notes", "hardware", "failure", "artifact")
"""Fields of an outcome that are left out if empty."""


class Category(StrEnum):
    """The cause that ended an attempt; it decides whether another one is made."""

    USER = "User"
    """The job or its data must be changed: never retried."""
    INTERRUPTION = "Interruption"
    """The pod was stopped (SIGTERM): always retried, never counted."""
    INFRASTRUCTURE = "Infrastructure"
    """Store, network, node, a killed process: retried with backoff, counted."""
    PLATFORM = "Platform"
    """The node or the cluster must be changed, such as its GPU driver: never retried."""
    OUT_OF_MEMORY = "OutOfMemory"
    """The accelerator's memory was insufficient: a retry without changes would fail again."""
    INTERNAL = "Internal"
    """An unexpected error: retried like infrastructure."""


class ExitCode(IntEnum):
    """The supervisor's exit codes. The batch Job's condition quotes them, so that the operator can
    determine the category even after the pod, and its termination message with it, was deleted.
    """

    SUCCEEDED = 0
    USER = 64
    INTERNAL = 70
    INFRASTRUCTURE = 75
    OUT_OF_MEMORY = 77
    PLATFORM = 78
    INTERRUPTED = 143
    """The exit code of a process that SIGTERM ended: never 0, or the Job would count a success."""

    @classmethod
    def of(cls, category: "Category | None") -> "ExitCode":
        """The exit code for this category; None for success."""
        return _EXIT_CODES[category]


_EXIT_CODES = {
    None: ExitCode.SUCCEEDED,
    Category.USER: ExitCode.USER,
    Category.INTERNAL: ExitCode.INTERNAL,
    Category.INFRASTRUCTURE: ExitCode.INFRASTRUCTURE,
    Category.OUT_OF_MEMORY: ExitCode.OUT_OF_MEMORY,
    Category.PLATFORM: ExitCode.PLATFORM,
    Category.INTERRUPTION: ExitCode.INTERRUPTED,
}


def category_of_exit_code(exit_code: int) -> Category | None:
    """The category for a container that ended with this code and wrote no outcome."""
    for category, code in _EXIT_CODES.items():
        if code == exit_code:
            return category
    # Killed by a signal (137: SIGKILL, 139: SIGSEGV): caused by the node, or by memory.
    return Category.INFRASTRUCTURE if exit_code > 128 else Category.INTERNAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt did not succeed, in a user's terms."""

    category: Category = field(metadata=formerly("blame"))
    reason: str
    """PascalCase, stable: scripts and troubleshooting guides are keyed by it."""
    message: str
    remedy: str
    """One line with the remedy. Empty if there is none."""
    phase: str = ""
    """The trainer's phase it happened in."""
    rank: int | None = None
    """The first failing rank, if one failed."""

    def with_reason(self, reason: str | None) -> "Failure":
        """The failure with Kubernetes' own reason, such as `Evicted`, if there is one."""
        return replace(self, reason=reason or self.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """The results of a succeeded run in the object store."""

    uri: str
    digest: str
    """`sha256:...` over the artifact's manifest, which contains the digest of every file."""
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended. `failure` and `artifact` are exclusive, and one of them is set.

    Of several nodes only the first one publishes: the others succeed without an artifact.
    """

    adapter_verified: bool = False
    step: int = 0
    """The last optimizer step that was taken."""
    total_steps: int = 0
    checkpoint_step: int = 0
    """The step of the newest complete checkpoint; 0 without one."""
    resumed_from_step: int = 0
    """The step of the checkpoint that this attempt began with; 0 for a fresh start."""
    world_size: int = 0
    micro_batch: int = 0
    """Rows of a micro-batch, if the trainer has chosen it; 0 if the config sets it."""
    figures: Mapping[str, float] | None = None
    """Final figures by TRL's own names (`loss`, `eval_loss`, `mean_token_accuracy` ...)."""
    note: str = ""
    """A note on a success, for example that it stopped early. Short, and usually empty."""
    notes: tuple[Note, ...] = field(default=(), metadata=FIRST_NOTES)
    """Other notes for its user, for example about rows that were left out: warnings first."""
    hardware: str = ""
    """The GPUs, driver and NCCL transport that the attempt ran on, in words; empty on CPUs."""
    failure: Failure | None = None
    artifact: Artifact | None = None

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.of(self.failure.category if self.failure else None)

    def to_json(self) -> str:
        """At most `MAX_OUTCOME_BYTES` bytes: the last notes are dropped if there is no room, and
        then a message that is too long loses its middle.
        """
        failure, notes = self.failure, bounded(self.notes)
        while len((text := self._render(failure, notes)).encode()) > MAX_OUTCOME_BYTES:
            if notes:
                notes = notes[:-1]
            elif failure:
                failure = _shortened(failure)
            else:
                break
        return text

    def _render(self, failure: Failure | None, notes: tuple[Note, ...]) -> str:
        document = {"version": OUTCOME_VERSION} | document_of(self)
        figures = document["figures"] or {}
        document |= {
            "figures": {name: value for name, value in figures.items() if math.isfinite(value)},
            "note": self.note[:MAX_NOTE],
            "notes": [note.to_document() for note in notes],
            "hardware": self.hardware[:MAX_HARDWARE],
            "failure": failure and document_of(failure),
        }
        for name in _MOSTLY_EMPTY:
            if not document[name]:
                del document[name]
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Outcome":
        """
        Raises:
            InvalidDocument: not an outcome, or one of another version.
        """
        document = parse_object(text, "outcome", MAX_OUTCOME_BYTES)
        if (version := version_of(document)) != OUTCOME_VERSION:
            raise InvalidDocument(f"outcome has version {version}, expected {OUTCOME_VERSION}")
        outcome = read_object(cls, document)
        require_counts(outcome)
        figures = {name: it for name, it in (outcome.figures or {}).items() if math.isfinite(it)}
        return replace(outcome, figures=figures if outcome.figures is not None else None)


def _shortened(failure: Failure) -> Failure:
    """The same failure in fewer words: without the middle third of its longer text."""
    if len(failure.remedy) > len(failure.message):
        return replace(failure, remedy=_without_middle(failure.remedy))
    return replace(failure, message=_without_middle(failure.message))


def _without_middle(text: str) -> str:
    return text[: len(text) // 3] + " ... " + text[-(len(text) // 3) :]
