# SPDX-License-Identifier: Apache-2.0
"""All jobs: their state, a filter to find one, and ticks to compare some."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from finetune_results_page.model.history import LossCurve
from finetune_results_page.model.phases import look_of
from finetune_results_page.model.query import COMPARED, JobName, Query, job_address
from finetune_results_page.model.rows import JobRow
from finetune_results_page.model.selection import Selection
from finetune_results_page.model.wording import age, count, figure
from finetune_results_page.pages.charts import sparkline
from finetune_results_page.pages.filters import FORM, show_filters, show_phases
from finetune_results_page.pages.icons import icon
from finetune_results_page.pages.markup import Content, Markup, tag, unseen
from finetune_results_page.pages.parts import (
    View,
    model_text,
    percent_text,
    phase_badge,
    progress_bar,
)
from finetune_results_page.pages.tables import Column, cell, frame
from finetune_results_page.pages.ticks import show_ticked

MANY: Final = 1000
"""From this many jobs on, the list is read less often: it costs the API server more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """All values that the list shows."""

    query: Query
    selection: Selection
    curves: Mapping[JobName, LossCurve]
    """The curves of the jobs on this page, if the reader may read them."""
    now: datetime
    is_cut: bool = False
    """Whether there are more jobs than were read."""


TICK, JOB, PHASE, PROGRESS, LOSS, ETA, GPUS, AGE = _COLUMNS = (
    Column("", "tick"),
    Column("Job", "job"),
    Column("Phase", "phase"),
    Column("Progress", "progress"),
    Column("Loss", "loss"),
    Column("Remaining", "eta"),
    Column("GPUs", "gpus"),
    Column("Age", "age"),
)

_SORTED_BY: Final = {
    JOB: "name",
    PHASE: "phase",
    PROGRESS: "-progress",
    LOSS: "loss",
    GPUS: "-gpus",
    AGE: "-created",
}
"""Column -> the order of the first click on its heading; the second click reverses it."""


def show_list(listed: Listed) -> View:
    query, selection = listed.query, listed.selection
    title = f"Jobs in {query.namespace}" if query.namespace else "Jobs"
    parts: list[Markup] = [tag("h1", title)]
    if selection.total or query.is_filtered:
        parts += [show_filters(query, selection), show_phases(query, selection)]
    parts.append(tag("div", _results(listed), id="results"))
    parts.append(show_ticked(query, on_page={row.key for row in selection.rows}))
    return View(
        title=title,
        news=f"{title}: {found(query, selection)}",
        parts=tuple(parts),
        refresh_seconds=5 if selection.total < MANY else 30,
    )


def found(query: Query, selection: Selection) -> str:
    """The number of jobs, or of those that the filter matches."""
    if not query.is_filtered:
        return count(selection.total, "job")
    return f"{selection.matching:,} of {count(selection.total, 'job')}"


def _results(listed: Listed) -> list[Markup]:
    query, selection = listed.query, listed.selection
    if not selection.total:
        where = f" in {query.namespace}" if query.namespace else ""
        return [tag("p", f"There are no jobs{where}.", class_="empty")]
    parts = []
    if listed.is_cut:
        text = f"There are more jobs than the {selection.total:,} listed here. Enter a namespace."
        parts.append(tag("p", text, class_="note"))
    if not selection.matching:
        clear = Query(namespace=query.namespace, ticked=query.ticked).address()
        words = ("No job matches the filter. ", tag("a", "Show all jobs", href=clear))
        return [*parts, tag("p", *words, class_="empty")]
    return [*parts, _table(listed), *_pages(query, selection)]


def _table(listed: Listed) -> Markup:
    query, selection = listed.query, listed.selection
    last = selection.first + len(selection.rows) - 1
    caption = found(query, selection)
    if selection.pages > 1:
        caption = f"{selection.first:,} to {last:,} of {selection.matching:,} jobs"
    head = [_heading(column, query) for column in _COLUMNS]
    return frame(caption, head, [_row(row, listed) for row in selection.rows], "jobs")


def _heading(column: Column, query: Query) -> Markup:
    if column is TICK:
        return tag("th", unseen("Compare"), scope="col", role="columnheader", class_="tick")
    kind = {"scope": "col", "role": "columnheader", "class_": column.kind}
    if column not in _SORTED_BY:
        return tag("th", column.heading, **kind)
    first = _SORTED_BY[column]
    name = f"sort-{first.removeprefix('-')}"
    if query.sort.removeprefix("-") != first.removeprefix("-"):
        link = tag("a", column.heading, href=query.but(sort=first).address(), id=name)
        return tag("th", link, **kind)
    falls = query.sort.startswith("-")
    # Age increases as the creation time decreases.
    shown = "descending" if falls != (column is AGE) else "ascending"
    turned = query.sort.removeprefix("-") if falls else f"-{query.sort}"
    link = tag("a", column.heading, icon(shown), href=query.but(sort=turned).address(), id=name)
    return tag("th", link, aria_sort=shown, **kind)


def _row(row: JobRow, listed: Listed) -> Markup:
    query = listed.query
    tick = tag(
        "input",
        type="checkbox",
        name="job",
        value=f"{row.key}",
        id=f"tick-{row.key}",
        form=FORM,
        checked=row.key in query.ticked,
        disabled=row.key not in query.ticked and len(query.ticked) == COMPARED,
        aria_label=f"Compare {row.key.name}",
    )
    namespace = None if query.namespace else tag("span", row.key.namespace, class_="namespace")
    name = tag("a", row.key.name, href=job_address(row.key), title=row.key.name)
    made = f"{row.created:%Y-%m-%d %H:%M} UTC" if row.created else None
    cells = (
        cell(TICK, tick),
        cell(JOB, name, tag("div", namespace, model_text(row.model), class_="under")),
        cell(PHASE, phase_badge(row.phase), _explanation(row)),
        cell(PROGRESS, _progress(row)),
        cell(LOSS, _loss(row, listed.curves.get(row.key, ()))),
        cell(ETA, row.eta),
        cell(GPUS, figure(row.gpus)),
        cell(AGE, tag("span", age(row.created, listed.now), title=made)),
    )
    return tag("tr", cells, role="row", class_="ticked" if row.key in query.ticked else None)


def _explanation(row: JobRow) -> Markup | None:
    words = [row.reason] if look_of(row.phase).has_reason and row.reason != row.phase else []
    if row.phase == "Queued" and row.queue:
        words = [row.queue]
    if row.attempt is not None and row.attempt > 1:
        words.append(f"attempt {figure(row.attempt)}")
    words = [word for word in words if word]
    return tag("div", " · ".join(words), class_="under") if words else None


def _progress(row: JobRow) -> Content:
    if row.percent is None:
        return None
    step = f"step {figure(row.step)}" if row.step is not None else None
    return (
        progress_bar(row.percent, row.phase),
        tag("div", tag("span", percent_text(row.percent)), tag("span", step), class_="under"),
    )


def _loss(row: JobRow, curve: LossCurve) -> Content:
    if row.loss is None:
        return None
    return tag("div", sparkline(curve) if curve else None, tag("span", figure(row.loss)))


def _pages(query: Query, selection: Selection) -> list[Markup]:
    if selection.pages == 1:
        return []
    here = selection.page
    links = [
        tag("a", words, href=query.but(page=page).address(), rel=rel)
        for words, rel, page in (("Previous", "prev", here - 1), ("Next", "next", here + 1))
        if 1 <= page <= selection.pages
    ]
    place = tag("span", f"Page {here:,} of {selection.pages:,}", class_="soft")
    links.insert(1 if here > 1 else 0, place)
    return [tag("nav", links, class_="pages", aria_label="Pages")]
