# SPDX-License-Identifier: Apache-2.0
"""Answers to held-out prompts before and after training, limited to the size for a status.

The complete answers are next to the artifact, in `report/samples.json`. No I/O here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from finetune_contract.codec import bounded_by, document_of, first_of, read_object
from finetune_contract.limits import MAX_ANSWERS, MAX_TEXT


def _cut(text: Any) -> Any:
    is_long = isinstance(text, str) and len(text) > MAX_TEXT
    return f"{text[: MAX_TEXT - 1]}…" if is_long else text


FIRST_ANSWERS = first_of(MAX_ANSWERS)
"""The metadata of a field with answers: the first of them, up to the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One prompt; an unknown answer is None."""

    prompt: str = field(metadata=bounded_by(_cut))
    before: str | None = field(default=None, metadata=bounded_by(_cut))
    after: str | None = field(default=None, metadata=bounded_by(_cut))

    def to_document(self) -> dict[str, str]:
        """Its JSON object, for a report and for `status.answers`."""
        return document_of(self, nulls=False)


def parse_answers(documents: Sequence[Any]) -> tuple[Answer, ...]:
    """The first of them, within the length limits.

    Raises:
        InvalidDocument: one is not an object, or one of its texts is missing or not a text.
    """
    return tuple(
        read_object(Answer, document, f"answers[{place}]")
        for place, document in enumerate(documents[:MAX_ANSWERS])
    )
