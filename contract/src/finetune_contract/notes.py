# SPDX-License-Identifier: Apache-2.0
"""Notes for the user of a run that are no failures, for example about rows that were left out.

One list for all places that show them: status, terminal, report, card and metrics. No I/O here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from finetune_contract.codec import bounded_by, document_of, first_of, read_object
from finetune_contract.limits import MAX_NOTE_REASON, MAX_NOTE_TEXT, MAX_NOTES
from finetune_contract.printable import on_one_line


class Severity(StrEnum):
    """The importance of a note."""

    WARNING = "Warning"
    """The result may differ from what the config's author expects."""
    INFO = "Info"
    """The result is as requested; the note is additional information."""


class NoteReason(StrEnum):
    """The subject of a note; stable, so that scripts and alerts can be keyed by it."""

    ROWS_LEFT_OUT = "RowsLeftOut"
    """Rows of the data are not used for training, or not for evaluation."""
    ROWS_CUT = "RowsCut"
    """Rows lose tokens at `max_length`."""
    ANSWERS_CUT = "AnswersCut"
    """Rows lose a part that counts for the loss, or all rows are cut."""
    NOTHING_TRAINED = "NothingTrained"
    """The run was already complete, so this attempt trained nothing."""
    INPUTS_CHANGED = "InputsChanged"
    """The run was already complete, and data or model have changed since."""
    WEIGHTS_UNUSED = "WeightsUnused"
    """The model's files have weights without a place in the architecture."""
    NO_EFFECT = "NoEffect"
    """A key of the config, or of the data, had no effect."""
    TEMPLATE_LEAVES_OUT = "TemplateLeavesOut"
    """The chat template does not render a part of the conversations, such as tool calls."""
    TEMPLATE_REFUSES = "TemplateRefuses"
    """Rows are left out that the chat template cannot render; the note has the remedy."""
    OTHER_PRECISION = "OtherPrecision"
    """The published model has another precision than its base model."""
    EXTRA_MISSING = "ExtraMissing"
    """An extra, such as a merged model, was not made."""
    EXTRA_MADE = "ExtraMade"
    """An extra was made, in this way or by this attempt."""
    PADDING = "Padding"
    """A noticeable share of the computation is padding."""
    NOT_KNOWN = "NotKnown"
    """Something could not be counted or checked."""


def _cut(length: int) -> Any:
    def cut(text: Any) -> Any:
        if not isinstance(text, str):
            return text
        # A note may quote a row, and is a part of a line wherever it is shown.
        line = on_one_line(text)
        return f"{line[: length - 1]}…" if len(line) > length else line

    return cut


def _known(severity: Any) -> Any:
    """An unknown severity of a newer writer counts as a warning."""
    known = {member.value for member in Severity}
    return (
        Severity.WARNING.value if isinstance(severity, str) and severity not in known else severity
    )


FIRST_NOTES = first_of(MAX_NOTES)
"""The metadata of a field with notes: the first of them, up to the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One sentence for the user."""

    severity: Severity = field(metadata=bounded_by(_known))
    reason: str = field(metadata=bounded_by(_cut(MAX_NOTE_REASON)))
    """A member of `NoteReason`, or one that only a newer trainer has."""
    message: str = field(metadata=bounded_by(_cut(MAX_NOTE_TEXT)))

    def to_document(self) -> dict[str, str]:
        """Its JSON object, for an outcome and for `status.notes`."""
        return document_of(bounded([self])[0])


def warning(reason: NoteReason, message: str) -> Note:
    return Note(severity=Severity.WARNING, reason=reason.value, message=message)


def info(reason: NoteReason, message: str) -> Note:
    return Note(severity=Severity.INFO, reason=reason.value, message=message)


def bounded(notes: Iterable[Note]) -> tuple[Note, ...]:
    """The notes within the limits of number and length: warnings first, without duplicates."""
    found = dict.fromkeys(notes)
    first = sorted(found, key=lambda note: note.severity is not Severity.WARNING)[:MAX_NOTES]
    return tuple(
        Note(
            severity=note.severity,
            reason=_cut(MAX_NOTE_REASON)(note.reason),
            message=_cut(MAX_NOTE_TEXT)(note.message),
        )
        for note in first
    )


def parse_notes(documents: Sequence[Any]) -> tuple[Note, ...]:
    """The first of them, within the length limits.

    Raises:
        InvalidDocument: one is not an object, or one of its texts is missing or not a text.
    """
    return tuple(
        read_object(Note, document, f"notes[{place}]")
        for place, document in enumerate(documents[:MAX_NOTES])
    )
