# SPDX-License-Identifier: Apache-2.0
"""Notes: what the user of a run should know that is no failure, such as rows that were left out.

One list for all who show it: status, terminal, report, card and metrics. No I/O here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from finetune_contract.codec import bounded_by, document_of, first_of, read_object
from finetune_contract.limits import MAX_NOTE_REASON, MAX_NOTE_TEXT, MAX_NOTES
from finetune_contract.printable import on_one_line


class Severity(StrEnum):
    """How much a note is to be heeded."""

    WARNING = "Warning"
    """The result may be another one than the config's author has in mind."""
    INFO = "Info"
    """The result is as it was asked for; what is told is good to know."""


class NoteReason(StrEnum):
    """What a note is about; stable, so that scripts and alerts can be keyed by it."""

    ROWS_LEFT_OUT = "RowsLeftOut"
    """Rows of the data are not trained on, or not evaluated on."""
    ROWS_CUT = "RowsCut"
    """Rows lose tokens at `max_length`."""
    ANSWERS_CUT = "AnswersCut"
    """Rows lose a part of what the loss counts, or all rows are cut."""
    NOTHING_TRAINED = "NothingTrained"
    """The run was complete already, so that this attempt trained nothing."""
    INPUTS_CHANGED = "InputsChanged"
    """The run was complete already, and data or model are other ones since."""
    WEIGHTS_UNUSED = "WeightsUnused"
    """The model's files have weights that the architecture has no place for."""
    NO_EFFECT = "NoEffect"
    """A key of the config, or of the data, has had no effect."""
    TEMPLATE_LEAVES_OUT = "TemplateLeavesOut"
    """The chat template does not write a part of the conversations, such as tool calls."""
    TEMPLATE_REFUSES = "TemplateRefuses"
    """Rows are left out that the chat template cannot write; the note says what can be done."""
    OTHER_PRECISION = "OtherPrecision"
    """What is published has another precision than its base model."""
    EXTRA_MISSING = "ExtraMissing"
    """What was asked for besides the artifact, such as a merged model, was not made."""
    EXTRA_MADE = "ExtraMade"
    """It was made, in this way or by this attempt."""
    PADDING = "Padding"
    """A noticeable share of what is computed is padding."""
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
    """What a newer writer says is to be heeded, until somebody knows better."""
    known = {member.value for member in Severity}
    return (
        Severity.WARNING.value if isinstance(severity, str) and severity not in known else severity
    )


FIRST_NOTES = first_of(MAX_NOTES)
"""The metadata of a field with notes: the first of them, as many as there may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One sentence that a user should read."""

    severity: Severity = field(metadata=bounded_by(_known))
    reason: str = field(metadata=bounded_by(_cut(MAX_NOTE_REASON)))
    """A member of `NoteReason`, or one that only a newer trainer knows."""
    message: str = field(metadata=bounded_by(_cut(MAX_NOTE_TEXT)))

    def to_document(self) -> dict[str, str]:
        """The JSON object that stands for it, in an outcome and in `status.notes`."""
        return document_of(bounded([self])[0])


def warning(reason: NoteReason, message: str) -> Note:
    return Note(severity=Severity.WARNING, reason=reason.value, message=message)


def info(reason: NoteReason, message: str) -> Note:
    return Note(severity=Severity.INFO, reason=reason.value, message=message)


def bounded(notes: Iterable[Note]) -> tuple[Note, ...]:
    """As many of them as there may be, each as long as it may be: warnings first, none twice."""
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
    """The first of them, as long as they may be.

    Raises:
        InvalidDocument: one is no object, or one of its texts is missing or no text.
    """
    return tuple(
        read_object(Note, document, f"notes[{place}]")
        for place, document in enumerate(documents[:MAX_NOTES])
    )
