# SPDX-License-Identifier: Apache-2.0
"""One job: its phase, its failure and the remedy, its curve, its answers, its attempts."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from finetune_results_page.model.comparison import figures_of
from finetune_results_page.model.history import curve_of
from finetune_results_page.model.phases import FIRST
from finetune_results_page.model.query import JobName, Query
from finetune_results_page.model.values import (
    bounded,
    clean,
    entries_of,
    mapping_of,
    number_of,
    time_of,
)
from finetune_results_page.model.wording import figure
from finetune_results_page.pages.charts import Named, figure_of
from finetune_results_page.pages.markup import Content, Markup, tag
from finetune_results_page.pages.parts import (
    View,
    model_text,
    moment,
    percent_text,
    phase_badge,
    progress_bar,
    section,
    tiles,
)
from finetune_results_page.pages.tables import Column, table

MESSAGE: Final = 4000
"""Limit for a failure's message, in characters. The operator writes shorter ones."""

SPEC: Final = 100_000
"""Limit for a spec as JSON, in characters."""

Body = Mapping[str, Any]


def show_job(key: JobName, job: Any) -> View:
    metadata, spec, status = (
        mapping_of(mapping_of(job).get(it)) for it in ("metadata", "spec", "status")
    )
    phase = clean(status.get("phase"), 40) or FIRST
    created = moment(time_of(metadata.get("creationTimestamp")))
    home = tag("a", key.namespace, href=Query(namespace=key.namespace).address())
    parts = (
        tag("h1", key.name),
        tag("p", home, " · created " if created else None, created, class_="soft"),
        _standing(phase, status),
        _failure(phase, status),
        tiles(_tiles(spec, status)),
        _loss(job),
        _answers(status),
        _notes(status),
        _attempts(status),
        _result(status),
        tag("details", tag("summary", "Spec"), tag("pre", _spec(spec), tabindex="0"), id="spec"),
    )
    return View(
        title=f"{key.name}: {phase}",
        news=f"{key.name}: {phase}",
        parts=tuple(part for part in parts if part is not None),
    )


def _standing(phase: str, status: Body) -> Markup:
    percent = number_of(mapping_of(status.get("progress")).get("percent"))
    message = None if phase == "Failed" else _condition(status, "Ready").get("message")
    words = tag("p", phase_badge(phase), f" {clean(message, MESSAGE)}" if message else None)
    if percent is None or phase == "Failed":
        return tag("div", words, class_="standing")
    percent = min(100.0, max(0.0, percent))
    bar = tag("div", progress_bar(percent, phase), tag("span", percent_text(percent)), class_="bar")
    return tag("div", words, bar, class_="standing")


def _failure(phase: str, status: Body) -> Markup | None:
    failure = mapping_of(status.get("failure")) or _condition(status, "Accepted")
    if not failure or phase == "Succeeded":
        return None
    remedy = clean(failure.get("remedy"), MESSAGE)
    return tag(
        "section",
        tag("p", tag("strong", clean(failure.get("reason")))),
        tag("p", clean(failure.get("message"), MESSAGE)),
        tag("p", tag("strong", "What to do: "), remedy) if remedy else None,
        class_="failure",
        aria_label="What went wrong",
    )


def _tiles(spec: Body, status: Body) -> Iterator[tuple[str, Content]]:
    progress = mapping_of(status.get("progress"))
    yield "Model", model_text(clean(mapping_of(spec.get("config")).get("model_name_or_path")))
    yield from figures_of(status)
    yield "Epoch", figure(number_of(progress.get("epoch")))
    yield "Remaining", clean(progress.get("eta"), 40)
    yield "Attempt", figure(number_of(status.get("attempt")))
    yield "Queue", clean(status.get("queue"), 80)


def _loss(job: Any) -> Markup | None:
    curve = curve_of(job)
    return (
        section("Training loss", figure_of("Loss", [Named(label="Loss", curve=curve)]))
        if curve
        else None
    )


def _answers(status: Body) -> Markup | None:
    columns = [Column(name, "text") for name in ("Prompt", "Before", "After")]
    rows = [
        [clean(entry.get(name)) for name in ("prompt", "before", "after")]
        for entry in entries_of(status.get("answers"), 10)
    ]
    if not rows:
        return None
    caption = "Held-out prompts, answered before and after training"
    return section("Answers", table(caption, columns, rows, kind="answers"))


def _notes(status: Body) -> Markup | None:
    notes = [
        tag("li", tag("strong", clean(entry.get("reason"), 60)), ": ", clean(entry.get("message")))
        for entry in entries_of(status.get("notes"), 20)
    ]
    return section("Notes", tag("ul", notes, class_="notes")) if notes else None


def _attempts(status: Body) -> Markup | None:
    names = ("Number", "Result", "Started", "Ended", "Last step", "Reason", "What to do")
    kinds = ("", "", "", "", "", "text", "text")
    rows = [_attempt(entry) for entry in reversed(entries_of(status.get("attempts"), 200))]
    if not rows:
        return None
    columns = [Column(name, kind) for name, kind in zip(names, kinds, strict=True)]
    return section("Attempts", table("The newest first", columns, rows, kind="attempts"))


def _attempt(attempt: Body) -> list[Content]:
    reasons = [clean(attempt.get(name), MESSAGE) for name in ("reason", "message")]
    return [
        figure(number_of(attempt.get("number"))),
        clean(attempt.get("result"), 40),
        moment(time_of(attempt.get("startTime"))),
        moment(time_of(attempt.get("endTime"))),
        figure(number_of(attempt.get("lastStep"))),
        ": ".join(reason for reason in reasons if reason),
        clean(attempt.get("remedy"), MESSAGE),
    ]


def _result(status: Body) -> Markup | None:
    artifact = mapping_of(status.get("artifact"))
    if not artifact:
        return None
    rows = [
        (words, clean(artifact.get(name), 1024))
        for words, name in (("Location", "uri"), ("Digest", "digest"))
    ]
    listed = [
        tag("div", tag("dt", words), tag("dd", tag("code", value)))
        for words, value in rows
        if value
    ]
    return section("Result", tag("dl", listed, class_="lines"))


def _spec(spec: Body) -> str:
    text = json.dumps(bounded(spec), indent=2, ensure_ascii=False)
    return clean(text, SPEC)


def _condition(status: Body, kind: str) -> Body:
    """The condition of this type if it is False; else an empty one."""
    wanted = {"type": kind, "status": "False"}.items()
    conditions = entries_of(status.get("conditions"), 50)
    return next(
        (it for it in conditions if all(it.get(name) == value for name, value in wanted)), {}
    )
