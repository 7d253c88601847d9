# SPDX-License-Identifier: Apache-2.0
"""URLs of the results page: they contain all of a view, and nothing else can be requested."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_results_page.model.query import COMPARED, SORTS, JobName, Query, parse_query

BALLOON = JobName(namespace="research", name="balloon")

NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), max_size=40)
KEYS = st.builds(JobName, namespace=NAMES, name=NAMES)
QUERIES = st.builds(
    Query,
    namespace=NAMES | st.just(""),
    text=TEXTS,
    model=TEXTS,
    phases=st.lists(TEXTS.filter(bool), max_size=5, unique=True).map(tuple),
    sort=st.sampled_from([*SORTS, *(f"-{it}" for it in SORTS)]),
    page=st.integers(1, 999_999),
    ticked=st.lists(KEYS, max_size=COMPARED, unique=True).map(tuple),
    is_comparison=st.booleans(),
)


@given(QUERIES)
def test_an_address_contains_the_complete_view(query: Query) -> None:
    assert parse_query(parse_qsl(query.address().removeprefix("./").removeprefix("?"))) == query


def test_the_list_of_all_jobs_has_the_shortest_address() -> None:
    assert Query().address() == "./"
    assert Query(ticked=(BALLOON,)).address() == "?job=research/balloon"


@pytest.mark.parametrize(
    "parameters",
    [
        {"namespace": "../../api"},
        {"namespace": "team\0"},
        {"namespace": "team", "name": "mine?watch=1"},
        {"namespace": "team", "name": "..%2fsecrets"},
        {"namespace": "Team"},
        {"namespace": "a" * 300},
        {"job": "team/../secrets"},
        {"job": "team"},
        {"job": "/mine"},
        {"job": "team/"},
    ],
    ids=str,
)
def test_only_valid_kubernetes_names_are_read(parameters: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"is not the name of a namespace or a job|is not a job"):
        parse_query(parameters.items())


@pytest.mark.parametrize("page", ["0", "-1", "1e9", "9" * 5000, "", "x", "٣"])
def test_an_invalid_page_number_shows_the_first_page(page: str) -> None:
    assert parse_query([("page", page)]).page == 1


@pytest.mark.parametrize("sort", ["", "age", "--name", "__class__", "name;"])
def test_an_unknown_order_sorts_the_newest_first(sort: str) -> None:
    assert parse_query([("sort", sort)]).sort == "-created"


def test_selected_jobs_are_limited_and_have_no_duplicates() -> None:
    jobs = ["a/a", "a/a", *(f"a/job-{number}" for number in range(1000))]

    ticked = parse_query([("job", job) for job in jobs]).ticked

    assert [f"{key}" for key in ticked] == ["a/a", *(f"a/job-{number}" for number in range(5))]


def test_another_filter_or_order_starts_at_the_first_page() -> None:
    query = Query(page=7, text="balloon")

    assert query.but(sort="loss").page == 1
    assert query.but(page=8).text == "balloon"
