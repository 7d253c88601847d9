# SPDX-License-Identifier: Apache-2.0
"""Answers to held-out prompts before and after training: as much of them as a status holds.

The whole of them lies beside the artifact, in `report/samples.json`. No I/O here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from finetune_contract.documents import InvalidDocument, optional, require

MAX_ANSWERS = 3
MAX_TEXT = 240
"""Characters of a prompt, and of an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One prompt; an answer that is not known is None."""

    prompt: str
    before: str | None
    after: str | None

    def to_document(self) -> dict[str, str]:
        """The JSON object that stands for it, in a report and in `status.answers`."""
        texts = {"prompt": self.prompt, "before": self.before, "after": self.after}
        return {name: text for name, text in texts.items() if text is not None}


def parse_answers(documents: Iterable[Any]) -> tuple[Answer, ...]:
    """The first of them, as long as they may be.

    Raises:
        InvalidDocument: one is no object, or one of its texts is missing or no text.
    """
    return tuple(_parse(document) for document in islice(documents, MAX_ANSWERS))


def _parse(document: Any) -> Answer:
    if not isinstance(document, Mapping):
        raise InvalidDocument(f"an answer is {document!r}, expected an object")
    before, after = (optional(document, name, str) for name in ("before", "after"))
    return Answer(
        prompt=_cut(require(document, "prompt", str)),
        before=None if before is None else _cut(before),
        after=None if after is None else _cut(after),
    )


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"
