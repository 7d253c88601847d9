# SPDX-License-Identifier: Apache-2.0
"""The list of jobs: filters, order and pages."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from finetune_results_page.model.query import SORTS, Query
from finetune_results_page.model.rows import JobRow
from finetune_results_page.model.selection import MODELS, PAGE_SIZE, Selection, in_order, select
from support.listed_jobs import NOON, a_row

LLAMA = "s3://models/meta/Llama-3.1-8B"
JOBS = [
    a_row("balloon", phase="Running"),
    a_row("kite", phase="Failed", reason="ModelNotFound", created=NOON - timedelta(days=1)),
    a_row("glider", namespace="nlp", phase="Queued", queue="team-gpus", model=LLAMA, loss=None),
    a_row(
        "rocket",
        namespace="nlp",
        phase="Succeeded",
        model=LLAMA,
        loss=0.1,
        output="s3://out/rocket",
    ),
]


def names(rows: Sequence[JobRow]) -> list[str]:
    return [row.key.name for row in rows]


def found(**query: Any) -> set[str]:
    return set(names(select(JOBS, Query(**query)).rows))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {"balloon", "kite", "glider", "rocket"}),
        ("ball", {"balloon"}),
        ("BALL", {"balloon"}),
        ("nlp", {"glider", "rocket"}),
        ("nlp/gli", {"glider"}),
        ("llama roc", {"rocket"}),
        ("roc llama", {"rocket"}),
        ("modelnotfound", {"kite"}),
        ("team-gpus", {"glider"}),
        ("queued", {"glider"}),
        ("s3://out/roc", {"rocket"}),
        ("balloon kite", set()),
        (".*", set()),
        ("[", set()),
    ],
)
def test_each_word_of_the_search_text_must_match_a_job(text: str, expected: set[str]) -> None:
    assert found(text=text) == expected


def test_filters_are_combined() -> None:
    assert found(model=LLAMA) == {"glider", "rocket"}
    assert found(phases=("Running", "Failed")) == {"balloon", "kite"}
    assert found(model=LLAMA, phases=("Running", "Queued")) == {"glider"}
    assert found(model=LLAMA, phases=("Queued",), text="balloon kite") == set()


def test_a_phase_shows_how_many_jobs_it_would_match_with_the_other_filters() -> None:
    selection = select(JOBS, Query(model=LLAMA, phases=("Queued",)))

    assert selection.phases == {"Queued": 1, "Running": 0, "Succeeded": 1, "Failed": 0}
    assert (selection.matching, selection.total) == (1, 4)


def test_phases_are_in_life_cycle_order_with_unknown_ones_last() -> None:
    rows = [a_row(f"{phase.lower()}", phase=phase) for phase in ("Failed", "Dreaming", "Pending")]

    assert list(select(rows, Query()).phases) == ["Pending", "Failed", "Dreaming"]


def test_a_selected_phase_that_no_job_has_can_be_deselected() -> None:
    assert select(JOBS, Query(phases=("Suspended",))).phases["Suspended"] == 0


@pytest.mark.parametrize("sort", [*SORTS, *(f"-{sort}" for sort in SORTS)])
def test_jobs_without_the_value_are_last_in_both_directions(sort: str) -> None:
    empty = a_row("a", percent=None, loss=None, gpus=None, created=None)
    rows = [empty, *JOBS]

    ordered = in_order(rows, sort)

    assert sorted(names(ordered)) == sorted(names(rows))
    if sort.removeprefix("-") not in {"name", "phase"}:
        assert ordered[-1] == empty


@pytest.mark.parametrize(
    ("sort", "first", "last"),
    [
        ("loss", "rocket", "glider"),
        ("-loss", "balloon", "glider"),
        ("name", "balloon", "rocket"),
        ("-name", "rocket", "balloon"),
        ("created", "kite", "balloon"),
        ("-created", "glider", "kite"),
        ("phase", "glider", "kite"),
    ],
)
def test_jobs_are_sorted_by_any_column(sort: str, first: str, last: str) -> None:
    ordered = names(in_order(JOBS, sort))

    assert (ordered[0], ordered[-1]) == (first, last)


def test_ten_thousand_jobs_are_split_into_pages_without_repetition() -> None:
    rows = [a_row(f"job-{number:05}", created=NOON) for number in range(10_000)]

    pages = [select(rows, Query(page=number, sort="name")) for number in (1, 2, 400)]

    assert [len(page.rows) for page in pages] == [PAGE_SIZE] * 3
    assert [page.rows[0].key.name for page in pages] == ["job-00000", "job-00025", "job-09975"]
    assert [page.first for page in pages] == [1, 26, 9976]


@pytest.mark.parametrize("page", [2, 999_999])
def test_a_page_past_the_end_is_the_last_one(page: int) -> None:
    selection = select(JOBS, Query(page=page))

    assert (selection.page, selection.pages, len(selection.rows)) == (1, 1, 4)


def test_a_list_without_jobs_has_one_empty_page() -> None:
    empty = Selection(rows=(), page=1, pages=1, matching=0, total=0, phases={}, models={})

    assert select([], Query()) == empty


def test_the_most_frequent_models_and_the_selected_one_are_offered() -> None:
    rows = [a_row(f"job-{number}", model=f"model-{number}") for number in range(300)]
    rows += [a_row("again", model="model-299"), a_row("none", model="")]

    models = select(rows, Query(model="model-250")).models

    assert len(models) == MODELS + 1
    assert models["model-250"] == 1
    assert list(models)[1] == "model-299"
    assert "" not in models
