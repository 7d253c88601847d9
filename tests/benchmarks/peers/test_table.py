# SPDX-License-Identifier: Apache-2.0
"""The table's arithmetic: it divides the right two numbers."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from benchmarks.peers.table import Figure, done, order, percentile, row, writes_in_words
from benchmarks.peers.writes import writes_of

OURS, THEIRS = True, False

Event = Mapping[str, Any]


def a_figure(ours: list[float], theirs: list[float], digits: int = 1) -> Figure:
    return Figure(name="CPU per job", unit="ms", ours=ours, theirs=theirs, digits=digits)


def test_the_two_sides_alternate_so_that_neither_always_runs_first() -> None:
    assert list(order(4)) == [OURS, THEIRS, THEIRS, OURS, OURS, THEIRS, THEIRS, OURS]


def test_each_side_runs_the_requested_number_of_rounds() -> None:
    for rounds in range(1, 6):
        assert Counter(order(rounds)) == {OURS: rounds, THEIRS: rounds}


def test_a_row_contains_both_medians_and_the_ratios_of_adjacent_rounds() -> None:
    # The machine was twice as busy in the second pair: the ratio is the same for both.
    figure = a_figure(ours=[10, 20, 12], theirs=[20, 40, 24])

    assert figure.ratios() == [0.5, 0.5, 0.5]
    assert row(figure) == "| CPU per job | 12.0 ms | 24.0 ms | 0.50 (0.50 to 0.50) |"


def test_the_ratio_is_the_median_of_ratios_and_not_the_ratio_of_medians() -> None:
    figure = a_figure(ours=[1, 10, 100], theirs=[10, 1, 100])

    assert row(figure).endswith("| 10.0 ms | 10.0 ms | 1.00 (0.10 to 10.00) |")
    assert row(a_figure(ours=[3, 1, 2], theirs=[1, 2, 4])).endswith("| 0.50 (0.50 to 3.00) |")


def test_a_single_round_has_no_range() -> None:
    assert row(a_figure(ours=[5], theirs=[10])).endswith("| 0.50 |")


def test_a_zero_on_the_other_side_gives_no_ratio() -> None:
    assert row(a_figure(ours=[5], theirs=[0])).endswith("| nan |")


def test_a_metric_with_fewer_rounds_on_one_side_gets_no_row() -> None:
    with pytest.raises(ValueError, match="shorter"):
        row(a_figure(ours=[1, 2], theirs=[1]))


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        (range(1, 101), 0.5, 50),
        (range(1, 101), 0.99, 99),
        (range(100, 0, -1), 0.99, 99),
        (range(1, 11), 0.99, 10),
        ([7], 0.5, 7),
        ([7], 0.99, 7),
        ([1, 2], 0.5, 1),
    ],
)
def test_a_percentile_is_an_observed_value(
    values: list[float], share: float, expected: float
) -> None:
    assert percentile(values, share) == expected


def an_event(verb: str, resource: str, *, user: str = "me", code: int = 200, **ref: str) -> Event:
    target = {"resource": resource, "namespace": "burst", **ref}
    status = {"code": code}
    return {"verb": verb, "user": {"username": user}, "objectRef": target, "responseStatus": status}


def test_writes_are_counted_by_kind_per_job_and_refused_ones_separately() -> None:
    audit = [
        *2 * [an_event("create", "jobs", code=201)],
        *4 * [an_event("patch", "finetunejobs", subresource="status")],
        an_event("update", "jobsets", subresource="status", code=409),
    ]

    writes = writes_of({"me"}, audit, {"burst"})

    assert done(writes) == 6
    assert writes_in_words(writes, 2) == (
        "3.00: 2.00 patch finetunejobs/status, 1.00 create jobs; 0.50 refused"
    )


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(an_event("create", "jobs", user="somebody else"), id="another's"),
        pytest.param(an_event("create", "jobs", namespace="warm-up"), id="another part's"),
        pytest.param(an_event("update", "leases"), id="a lease"),
        pytest.param(an_event("create", "tokenreviews"), id="a question"),
        pytest.param(an_event("get", "jobs"), id="a read"),
    ],
)
def test_requests_that_are_not_writes_for_a_job_are_not_counted(event: Event) -> None:
    assert writes_of({"me"}, [event], {"burst"}) == {}
