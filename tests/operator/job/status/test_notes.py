# SPDX-License-Identifier: Apache-2.0
"""`status.notes`: information for the user of a result that is no failure."""

from dataclasses import replace
from typing import Any

from finetune_contract.notes import Note, NoteReason, warning
from finetune_operator.job.attempts import Result
from finetune_operator.job.decide.decision import Decision
from finetune_operator.job.observe.observation import Observed
from finetune_operator.job.status.status import next_status
from finetune_operator.objects.names import Phase
from support.factories import NOW, a_good_outcome, a_job, an_attempt


def tell(phase: Phase, *, previous: dict[str, Any] | None = None, **seen: Any) -> dict[str, Any]:
    observed = Observed(**seen)
    decision = Decision(phase=phase, reason="Because", message="so it is")
    return next_status(previous or {}, a_job(), observed, decision, NOW)


LEFT_OUT = warning(NoteReason.ROWS_LEFT_OUT, "2 of 8 rows of train are left out: text is null (2)")
LEFT_OUT_DOCUMENT = {
    "severity": "Warning",
    "reason": "RowsLeftOut",
    "message": "2 of 8 rows of train are left out: text is null (2)",
}


def ended_with(*notes: Note) -> dict[str, Any]:
    attempt = an_attempt(1, Result.SUCCEEDED)
    return {"attempts": (attempt,), "outcome": replace(a_good_outcome(), notes=notes)}


def test_the_trainers_notes_are_in_the_status() -> None:
    assert tell(Phase.SUCCEEDED, **ended_with(LEFT_OUT))["notes"] == [LEFT_OUT_DOCUMENT]
    assert "notes" not in tell(Phase.SUCCEEDED, **ended_with())


def test_notes_outlive_the_pod_that_reported_them() -> None:
    told = tell(Phase.SUCCEEDED, **ended_with(LEFT_OUT))

    later = tell(Phase.SUCCEEDED, previous=told, attempts=(an_attempt(1, Result.SUCCEEDED),))

    assert later["notes"] == [LEFT_OUT_DOCUMENT]


def test_notes_of_another_run_are_dropped() -> None:
    told = tell(Phase.SUCCEEDED, **ended_with(LEFT_OUT))

    assert "notes" not in tell(Phase.PENDING, previous={**told, "definitionDigest": "0" * 64})
