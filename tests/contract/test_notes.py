# SPDX-License-Identifier: Apache-2.0
"""Notes on a success fit into all places that show them, independently of their author."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_contract.documents import InvalidDocument
from finetune_contract.limits import MAX_NOTE_TEXT, MAX_NOTES, MAX_OUTCOME_BYTES
from finetune_contract.notes import Note, NoteReason, Severity, bounded, info, parse_notes, warning
from finetune_contract.outcome import Category, Failure, Outcome

LEFT_OUT = warning(NoteReason.ROWS_LEFT_OUT, "2 of 8 rows of train are left out: text is null (2)")
CUT = info(NoteReason.ROWS_CUT, "3 of 8 rows of train are cut at max_length (64)")


def test_the_operator_reads_the_notes_the_trainer_wrote() -> None:
    outcome = Outcome(notes=(LEFT_OUT, CUT))

    assert Outcome.from_json(outcome.to_json()).notes == (LEFT_OUT, CUT)


def test_warnings_come_first_and_duplicates_are_dropped() -> None:
    assert bounded([CUT, LEFT_OUT, CUT]) == (LEFT_OUT, CUT)


def test_an_outcome_without_notes_has_no_notes_key() -> None:
    assert "notes" not in json.loads(Outcome().to_json())


def test_an_outcome_of_an_older_trainer_has_no_notes() -> None:
    assert Outcome.from_json('{"version": 1, "step": 3}').notes == ()


@given(
    st.lists(
        st.builds(
            Note,
            severity=st.sampled_from(Severity),
            reason=st.text(max_size=200),
            message=st.text(st.characters(exclude_categories=["Cs"]), max_size=2000),
        ),
        max_size=20,
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3000),
)
def test_an_outcome_fits_the_termination_log_with_any_notes(
    notes: list[Note], message: str
) -> None:
    failure = Failure(category=Category.USER, reason="X", message=message, remedy=message)
    outcome = Outcome(notes=tuple(notes), failure=failure)

    text = outcome.to_json()

    assert len(text.encode()) <= MAX_OUTCOME_BYTES
    read = Outcome.from_json(text).notes
    assert read == bounded(notes)[: len(read)]


def test_many_or_long_notes_of_a_pod_are_truncated() -> None:
    many = [{"severity": "Info", "reason": "R", "message": str(place)} for place in range(50)]
    long = {"severity": "Warning", "reason": "R" * 1000, "message": "m" * 10_000}

    notes = Outcome.from_json(json.dumps({"version": 1, "notes": many})).notes

    assert len(notes) == MAX_NOTES
    (note,) = parse_notes([long])
    assert len(note.message) == MAX_NOTE_TEXT
    assert note.message.endswith("m…")


def test_a_note_is_one_line_whichever_row_it_quotes() -> None:
    forged = warning(NoteReason.ROWS_LEFT_OUT, "a turn is from x\nFailed\x1b[2J")

    (read,) = Outcome.from_json(Outcome(notes=(forged,)).to_json()).notes

    assert read.message == "a turn is from x Failed [2J"
    assert bounded([forged]) == (read,)


def test_an_unknown_severity_of_a_newer_trainer_is_treated_as_a_warning() -> None:
    (note,) = parse_notes([{"severity": "Critical", "reason": "New", "message": "m"}])

    assert note.severity is Severity.WARNING


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("m", r"notes\[0\] is 'm', expected an object"),
        ({"severity": "Info", "reason": "R"}, "message is missing"),
        ({"severity": 1, "reason": "R", "message": "m"}, "severity is 1, expected one of"),
    ],
)
def test_an_invalid_note_is_refused(wrong: Any, said: str) -> None:
    with pytest.raises(InvalidDocument, match=said):
        parse_notes([wrong])
