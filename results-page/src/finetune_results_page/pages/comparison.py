# SPDX-License-Identifier: Apache-2.0
"""Several jobs: their curves in one picture, the differences of their specs, and their results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from finetune_results_page.model.comparison import DIFFERENCES, Difference, differences, results
from finetune_results_page.model.history import curve_of
from finetune_results_page.model.phases import FIRST
from finetune_results_page.model.query import JobName, Query, job_address
from finetune_results_page.model.values import clean, mapping_of
from finetune_results_page.model.wording import count
from finetune_results_page.pages.charts import Named, figure_of, swatch
from finetune_results_page.pages.icons import icon
from finetune_results_page.pages.markup import Content, Markup, tag, unseen
from finetune_results_page.pages.parts import View, model_text, phase_badge, section
from finetune_results_page.pages.tables import KEY, Column, table

TITLE: Final = "Compare jobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Jobs in the order in which they were ticked."""

    query: Query
    jobs: Mapping[JobName, Any]
    refused: Mapping[JobName, str]
    """Jobs that could not be read, with the API server's message."""


def show_comparison(compared: Compared) -> View:
    query, jobs = compared.query, compared.jobs
    back = query.but(is_comparison=False, page=query.page).address()
    parts = [
        tag("p", tag("a", icon("back"), "Jobs", href=back), class_="back"),
        tag("h1", f"Compare {count(len(jobs), 'job')}" if len(jobs) > 1 else TITLE),
        *(
            tag("p", tag("strong", f"{key}: "), message, class_="failure")
            for key, message in compared.refused.items()
        ),
    ]
    if len(jobs) < 2:
        parts.append(tag("p", "Tick two or more jobs in the list to compare them.", class_="empty"))
    else:
        parts += _comparison(jobs)
    phases = ", ".join(f"{key.name} {_phase(job)}" for key, job in jobs.items())
    return View(title=TITLE, news=f"{TITLE}: {phases}", parts=tuple(parts))


def _comparison(jobs: Mapping[JobName, Any]) -> list[Markup]:
    labels = _labels(list(jobs))
    return [
        tag(
            "ul",
            [_card(key, job, index) for index, (key, job) in enumerate(jobs.items(), 1)],
            class_="cards",
        ),
        section("Training loss", _curves(labels, jobs)),
        section("Differences in the spec", _differences(labels, jobs)),
        section(
            "Results",
            _rows(
                unseen("Results of each job"),
                labels,
                results([it.get("status") for it in jobs.values()]),
            ),
        ),
    ]


def _labels(keys: Sequence[JobName]) -> list[str]:
    """Only names, if they are unambiguous."""
    names = [key.name for key in keys]
    return [key.name if names.count(key.name) == 1 else f"{key}" for key in keys]


def _card(key: JobName, job: Any, index: int) -> Markup:
    model = clean(mapping_of(mapping_of(job.get("spec")).get("config")).get("model_name_or_path"))
    return tag(
        "li",
        tag("div", swatch(index), tag("a", key.name, href=job_address(key))),
        tag(
            "div", tag("span", key.namespace, class_="namespace"), model_text(model), class_="under"
        ),
        phase_badge(_phase(job)),
    )


def _curves(labels: Sequence[str], jobs: Mapping[JobName, Any]) -> Markup:
    curves = [
        Named(label=label, curve=curve_of(job))
        for label, job in zip(labels, jobs.values(), strict=True)
    ]
    if not any(it.curve for it in curves):
        return tag("p", "None of these jobs has reported a loss.", class_="empty")
    missing = [it.label for it in curves if not it.curve]
    note = (
        tag("p", f"Without a loss so far: {', '.join(missing)}.", class_="soft")
        if missing
        else None
    )
    return tag("div", figure_of("Loss", curves), note)


def _differences(labels: Sequence[str], jobs: Mapping[JobName, Any]) -> Content:
    found = differences([job.get("spec") for job in jobs.values()])
    if not found:
        return tag("p", "The specs of these jobs are the same.", class_="empty")
    more = len(found) - DIFFERENCES
    note = tag("p", f"And {count(more, 'more difference')}.", class_="soft") if more > 0 else None
    shown = [Difference(key=it.key, values=it.values) for it in found[:DIFFERENCES]]
    return (_rows("Keys that differ, those of the config first", labels, shown, is_code=True), note)


def _rows(
    caption: Content, labels: Sequence[str], rows: Sequence[Difference], *, is_code: bool = False
) -> Markup:
    if not rows:
        return tag("p", "None of these jobs has reported figures.", class_="empty")
    columns = [
        Column("Key" if is_code else "Figure", KEY),
        *(Column(it, "value") for it in labels),
    ]
    return table(
        caption,
        columns,
        [
            [
                tag("code", row.key) if is_code else row.key,
                *(_value(it, is_code) for it in row.values),
            ]
            for row in rows
        ],
        kind="compared",
    )


def _value(value: str | None, is_code: bool) -> Content:
    if value is None:
        return tag("span", "not set" if is_code else "none", class_="soft")
    return tag("code", value) if is_code else value


def _phase(job: Any) -> str:
    return clean(mapping_of(job.get("status")).get("phase"), 40) or FIRST
