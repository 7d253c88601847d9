# SPDX-License-Identifier: Apache-2.0
"""The jobs of a list that are shown, their order, and the other possible filters."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from finetune_results_page.model.phases import place_of
from finetune_results_page.model.query import Query
from finetune_results_page.model.rows import JobRow

PAGE_SIZE: Final = 25
MODELS: Final = 100
"""How many models the filter offers: the most frequent ones."""

_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)

_VALUES: Final[Mapping[str, Callable[[JobRow], Any]]] = {
    "created": lambda row: row.created,
    "name": lambda row: (row.key.name, row.key.namespace),
    "phase": lambda row: place_of(row.phase),
    "progress": lambda row: row.percent,
    "loss": lambda row: row.loss,
    "gpus": lambda row: row.gpus,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    rows: tuple[JobRow, ...]
    """The rows of this page."""
    page: int
    pages: int
    matching: int
    total: int
    phases: Mapping[str, int]
    """Each existing phase, with its jobs that the other filters match."""
    models: Mapping[str, int]
    """Each selectable model, with its jobs; the most frequent first."""

    @property
    def first(self) -> int:
        """The number of the first row of this page, from 1."""
        return (self.page - 1) * PAGE_SIZE + 1


def select(rows: Sequence[JobRow], query: Query) -> Selection:
    """The page of jobs that a query requests; a page past the end is the last one."""
    in_text = [row for row in rows if _has_text(row, query.text.casefold().split())]
    of_model = [row for row in in_text if query.model in {"", row.model}]
    matching = [row for row in of_model if not query.phases or row.phase in query.phases]
    pages = max(1, -(-len(matching) // PAGE_SIZE))
    page = min(query.page, pages)
    start = (page - 1) * PAGE_SIZE
    return Selection(
        rows=tuple(in_order(matching, query.sort)[start : start + PAGE_SIZE]),
        page=page,
        pages=pages,
        matching=len(matching),
        total=len(rows),
        phases=_phases(rows, of_model, query.phases),
        models=_models(rows, query.model),
    )


def in_order(rows: Iterable[JobRow], sort: str) -> list[JobRow]:
    """Sorted; jobs without the value are last in both directions, equal ones the newest first."""
    value_of = _VALUES[sort.removeprefix("-")]
    newest = sorted(rows, key=lambda row: row.key)
    newest.sort(key=lambda row: row.created or _BEGINNING, reverse=True)
    known = [row for row in newest if value_of(row) is not None]
    known.sort(key=value_of, reverse=sort.startswith("-"))
    return known + [row for row in newest if value_of(row) is None]


def _has_text(row: JobRow, words: Sequence[str]) -> bool:
    if not words:
        return True
    texts = (f"{row.key}", row.model, row.phase, row.reason, row.queue, row.output)
    searched = "\n".join(texts).casefold()
    return all(word in searched for word in words)


def _phases(
    rows: Sequence[JobRow], counted: Sequence[JobRow], chosen: Sequence[str]
) -> dict[str, int]:
    # A selected phase stays, or it could not be deselected.
    there = sorted({row.phase for row in rows} | set(chosen), key=lambda it: (place_of(it), it))
    numbers = Counter(row.phase for row in counted)
    return {phase: numbers[phase] for phase in there}


def _models(rows: Sequence[JobRow], chosen: str) -> dict[str, int]:
    numbers = Counter(row.model for row in rows if row.model)
    offered = dict(numbers.most_common(MODELS))
    return offered if not chosen or chosen in offered else {chosen: numbers[chosen], **offered}
