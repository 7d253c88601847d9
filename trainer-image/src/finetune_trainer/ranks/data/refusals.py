# SPDX-License-Identifier: Apache-2.0
"""Rows that the chat template cannot render: counted by reason, with the first of each. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from finetune_contract.notes import Note, NoteReason, warning
from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.ranks.chat.trial import TemplateRefusal

_REASONS_KEPT = 10
"""Hostile data may have one for each row."""
_OTHER = "the chat template refuses them for other reasons"
_REMEDIES_SHOWN = 2
_SAID_CHARACTERS = 200


def refused(said: str) -> AttemptFailed:
    """The chat template has refused a row that was not tested before."""
    return attempt_failed(
        Reason.CONVERSATIONS_REFUSED,
        f'the chat template refuses a row: "{said[:_SAID_CHARACTERS]}"',
        "write only turns that the template has, or set chat_template_path to a template that "
        "can write these",
    )


@dataclass(slots=True)
class _Rows:
    count: int
    first: int
    turn: int | None


@dataclass(slots=True, kw_only=True)
class Refusals:
    """The refused rows of a split."""

    are_numbered: bool
    """Whether a row has the same number in the user's file."""
    _found: dict[TemplateRefusal, _Rows] = field(default_factory=dict)
    _others: int = 0

    def note(self, refusal: TemplateRefusal, count: int, first: int) -> None:
        """Counts rows with one reason, of which `first` is the first, counted from 0."""
        known = self._found.get(refusal)
        if known is None and len(self._found) >= _REASONS_KEPT:
            self._others += count
        elif known is None:
            self._found[refusal] = _Rows(count, first, refusal.turn)
        else:
            known.count += count
            if first < known.first:
                known.first, known.turn = first, refusal.turn

    def dropped(self) -> dict[str, int]:
        """The number of rows left out, by reason."""
        found = {self._named(why, rows): rows.count for why, rows in self._found.items()}
        return found | ({_OTHER: self._others} if self._others else {})

    def notes(self, split: str) -> Iterator[Note]:
        """The remedies; the number of rows is reported with all others."""
        remedies = list(dict.fromkeys(why.remedy for why in self._found))
        for remedy in remedies[:_REMEDIES_SHOWN]:
            yield warning(
                NoteReason.TEMPLATE_REFUSES,
                f"to train on the rows of {split} that the chat template cannot write: {remedy}",
            )

    def failure(self, split: str) -> AttemptFailed:
        """The failure if no row can be rendered."""
        counts = {why: rows.count for why, rows in self._found.items()}
        worst = max(counts, key=counts.__getitem__)
        reason = Reason.UNKNOWN_ROLE if worst.is_of_role else Reason.CONVERSATIONS_REFUSED
        causes = ", ".join(f"{words} ({count} rows)" for words, count in self.dropped().items())
        return attempt_failed(
            reason,
            f"the chat template can write no row of {split}: {causes}",
            worst.remedy,
        )

    def _named(self, refusal: TemplateRefusal, rows: _Rows) -> str:
        if not self.are_numbered:
            return refusal.why
        turn = "" if rows.turn is None else f"turn {rows.turn} of "
        return f"{refusal.why}, as in {turn}row {rows.first + 1}"
