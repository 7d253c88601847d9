# SPDX-License-Identifier: Apache-2.0
"""Jobs that attack their readers: texts stay texts, and pages stay small."""

import math
from collections.abc import Iterator
from html.parser import HTMLParser
from string import Template
from typing import Any

import pytest

from finetune_results_page.model.history import curve_of
from finetune_results_page.model.query import JobName, Query
from finetune_results_page.model.rows import parse_rows
from finetune_results_page.model.selection import select
from finetune_results_page.pages.comparison import Compared, show_comparison
from finetune_results_page.pages.frame import complete_page, refused
from finetune_results_page.pages.job import show_job
from finetune_results_page.pages.job_list import Listed, show_list
from finetune_results_page.pages.parts import View
from support.fake_jobs_api import FakeJobsApi
from support.listed_jobs import NOON, a_curve, a_job

KEY = JobName(namespace="team", name="hostile")
OTHER = JobName(namespace="team", name="other")

SCRIPT = (
    """</title></main><script>alert(1)</script><img src=x onerror=alert(1)>"'&amp;$main${title}"""
)
TEXTS = {
    "markup": SCRIPT,
    "a template": "$main ${title} $$ %s {0}",
    "an attribute": '" autofocus onfocus=alert(1) x="',
    "control characters": "\0\x1b[31m\x07\r\b",
    "turned text": "\u202egnp.exe\u2066",
    "half a character": "\ud800 \udfff",
    "one long word": "W" * 100_000,
    "many lines": "\n" * 100_000,
}
NUMBERS = {
    "nan": float("nan"),
    "infinite": float("inf"),
    "huge": 10**400,
    "large": 1e300,
    "tiny": 5e-324,
    "negative": -1e99,
    "text": "0.5",
    "a list": [0.5],
}

DRAWN = ("points", "cx", "cy", "r", "x", "x1", "x2", "y", "y1", "y2", "max")
"""Attributes that are numbers."""

ATTRIBUTES = {"href", "src", "action", "style", "srcset", "formaction", "srcdoc"}
"""Attributes that can contain links or code."""


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(view: View, query: Query) -> str:
    template = Template("<html>$title<header>$namespace</header>$main</html>")
    page = complete_page(template, view, query)
    page.encode()
    return page


def pages_of(job: Any) -> Iterator[str]:
    """The job's own page, the list with it, and its comparison with a harmless one."""
    yield page_of(show_job(KEY, job), Query(namespace="team", name="hostile"))
    api = FakeJobsApi()
    api.put({**job, "metadata": {**job["metadata"], "namespace": "team", "name": "hostile"}})
    rows = parse_rows(api.table())
    for query in (Query(), Query(namespace="team", ticked=(KEY,))):
        selection = select(rows, query)
        curves = {KEY: curve_of(job)}
        listed = Listed(query=query, selection=selection, curves=curves, now=NOON)
        yield page_of(show_list(listed), query)
    query = Query(ticked=(KEY, OTHER), is_comparison=True)
    compared = Compared(query=query, jobs={KEY: job, OTHER: a_job("other")}, refused={})
    yield page_of(show_comparison(compared), query)


def full_of(value: Any) -> Any:
    """A job with this value in each place that accepts any."""
    texts = dict.fromkeys(("reason", "message", "remedy", "prompt", "before", "after"), value)
    return {
        "metadata": {"name": "hostile", "namespace": "team", "creationTimestamp": value},
        "spec": {
            "config": {
                "model_name_or_path": value,
                f"{value}"[:5000]: value,
                "nested": {"a": value},
            },
            "output": {"uri": value},
        },
        "status": {
            "phase": value,
            "queue": value,
            "gpus": value,
            "attempt": value,
            "progress": {
                **dict.fromkeys(
                    ("percent", "step", "totalSteps", "loss", "evalLoss", "eta"), value
                ),
                "metrics": {f"{value}"[:5000]: 0.5, "eval_x": value},
            },
            "lossHistory": [{"step": value, "loss": value}, {"step": 1, "loss": value}],
            "failure": texts,
            "answers": [texts],
            "notes": [texts],
            "attempts": [{**texts, "number": value, "result": value, "startTime": value}],
            "conditions": [{"type": "Ready", "status": "False", **texts}],
            "artifact": {"uri": value, "digest": value},
            "memory": {"peak": value},
            "gpuHours": {"used": value},
        },
    }


@pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
def test_no_text_of_a_job_becomes_markup_or_a_foreign_link(text: str) -> None:
    harmless = [elements_of(page) for page in pages_of(full_of("harmless"))]

    hostile = list(pages_of(full_of(text)))

    for page, expected in zip(hostile, harmless, strict=True):
        assert elements_of(page) <= expected
        assert len(page) < 200_000
        for tag, attributes in Elements(page).found:
            assert not any(name.startswith("on") for name in attributes)
            leading = {name: attributes[name] or "" for name in ATTRIBUTES & attributes.keys()}
            assert set(leading) <= {"href"}, tag
            assert all(it.startswith(("?", "./")) for it in leading.values())


def elements_of(page: str) -> set[str]:
    return {tag for tag, _ in Elements(page).found}


def test_a_text_is_shown_as_it_was_written() -> None:
    job = a_job("hostile", phase="Failed", failure={"reason": "R", "message": SCRIPT})

    shown = Elements(page_of(show_job(KEY, job), Query())).text

    assert SCRIPT in shown


@pytest.mark.parametrize("number", NUMBERS.values(), ids=list(NUMBERS))
def test_no_number_of_a_job_breaks_a_page_or_a_chart(number: Any) -> None:
    for page in pages_of(full_of(number)):
        for _, attributes in Elements(page).found:
            drawn = " ".join(attributes.get(name) or "" for name in DRAWN).replace(",", " ")
            assert all(math.isfinite(float(it)) for it in drawn.split())


@pytest.mark.parametrize("loss", [1e99, -1e99, 0, 5e-324, -1])
def test_a_curve_of_any_size_stays_inside_its_chart(loss: float) -> None:
    job = a_job("hostile", lossHistory=[*a_curve(5), {"step": 60, "loss": loss}])

    for page in pages_of(job):
        for tag, attributes in Elements(page).found:
            points = (attributes.get("points") or "").replace(",", " ").split()
            assert all(-1 <= float(place) <= 1100 for place in points), tag


@pytest.mark.parametrize(
    "job",
    [
        {"metadata": {}, "spec": None, "status": None},
        {"metadata": {}, "spec": [], "status": "Running"},
        {"metadata": {}, "spec": {"config": []}, "status": {"progress": [], "attempts": {}}},
        {"metadata": {}, "status": {"lossHistory": {}, "conditions": "x", "failure": [1]}},
        {"metadata": {}},
    ],
    ids=str,
)
def test_a_job_with_an_unexpected_shape_is_shown(job: Any) -> None:
    assert all("hostile" in page for page in pages_of(job))


def test_a_large_job_makes_a_page_of_bounded_size() -> None:
    config = {f"key_{number}": "x" * 500 for number in range(3000)}
    attempts = [{"number": number, "message": "m" * 400} for number in range(5000)]
    notes = [{"reason": "R", "message": "m"}] * 5000
    job = a_job("hostile", config=config, attempts=attempts, notes=notes)
    job["status"]["lossHistory"] = a_curve(5000)

    pages = list(pages_of(job))

    assert max(map(len, pages)) < 700_000


def test_a_deep_config_is_truncated_without_an_error() -> None:
    deep: Any = "core"
    for _ in range(900):
        deep = {"a": [deep]}

    pages = list(pages_of(a_job("hostile", config={"deep": deep})))

    assert "core" not in "".join(pages)
    assert "…" in pages[0]


def test_text_from_an_address_is_escaped_too() -> None:
    query = Query(text=SCRIPT, model=SCRIPT, phases=(SCRIPT,))
    selection = select((), query)

    page = page_of(show_list(Listed(query=query, selection=selection, curves={}, now=NOON)), query)

    assert "<script" not in page
    assert "<img" not in page


def test_a_refusal_is_escaped_too() -> None:
    page = page_of(refused(Query(), SCRIPT), Query())

    assert "<script" not in page
    assert SCRIPT in Elements(page).text
