# SPDX-License-Identifier: Apache-2.0
"""Values that a tenant writes: any value is shown bounded and harmless."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_results_page.model.history import POINTS, curve_of
from finetune_results_page.model.rows import parse_rows
from finetune_results_page.model.values import (
    bounded,
    clean,
    number_of,
    parse_json,
    time_of,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=20,
)
COLUMNS = ["Name", "Phase", "Progress", "Step", "Loss", "ETA", "GPUs", "Attempt", "Model", "Reason"]


def table_of(cells: Any, metadata: Any = None, columns: Any = None) -> Any:
    named = {"namespace": "team", "name": "mine", "creationTimestamp": "2026-03-01T12:00:00Z"}
    return {
        "columnDefinitions": columns or [{"name": name} for name in COLUMNS],
        "rows": [{"cells": cells, "object": {"metadata": metadata or named}}],
    }


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -float("inf"), 10**400, 1e101, True, "1", None, [], {}]
)
def test_a_value_that_is_not_a_number_is_not_drawn(value: Any) -> None:
    assert number_of(value) is None


def test_numbers_of_any_length_are_parsed() -> None:
    body = b'{"a": ' + b"9" * 5000 + b', "b": NaN, "c": 1e999, "d": 7}'

    values = parse_json(body)

    assert {name: number_of(value) for name, value in values.items()} == {
        "a": None,
        "b": None,
        "c": None,
        "d": 7,
    }


@pytest.mark.parametrize("body", [b"[" * 100_000, b"{", b"\xff", b""])
def test_an_unreadable_answer_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the words are Python's own
        parse_json(body)


@given(st.text() | st.text(st.characters(categories=["Cs", "Cc", "Cf"])))
def test_a_text_can_be_encoded_and_contains_no_control_codes(text: str) -> None:
    shown = clean(text)

    shown.encode()
    assert len(shown) <= 300
    assert not {"\0", "\x1b", "\u202e", "\u2066"} & set(shown)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, None, [], {}])
def test_a_value_that_is_neither_text_nor_number_is_not_shown_as_text(value: Any) -> None:
    assert clean(value) == ""


def test_a_long_text_is_truncated_visibly() -> None:
    assert clean("a" * 1_000_000, 10) == "aaaaaaaaa…"
    assert clean("a" * 10, 10) == "a" * 10


def test_text_in_all_languages_is_kept() -> None:
    for text in ("Grüße", "日本語", "می‌خواهم", "👩‍🚀", "a\tb\nc"):
        assert clean(text) == text


@pytest.mark.parametrize("value", ["2026-03-01", "now", "", 5, None, "9999999-01-01T00:00:00Z"])
def test_an_invalid_time_is_none(value: Any) -> None:
    assert time_of(value) is None


def test_deep_and_large_values_are_truncated() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = {"a": [deep]}

    shown = json.dumps(bounded(deep))
    large = bounded({f"{number}": number for number in range(100_000)})

    assert len(shown) < 1000
    assert len(large) == 2001


@given(JSON)
def test_any_status_has_a_curve(status: Any) -> None:
    curve_of({"status": status})
    curve = curve_of({"status": {"lossHistory": status}})

    assert [point.step for point in curve] == sorted({point.step for point in curve})


@given(JSON, JSON)
def test_any_table_has_rows(cells: Any, other: Any) -> None:
    parse_rows(table_of(cells, columns=other))
    parse_rows(table_of(cells, metadata=other))
    parse_rows(other)
    rows = parse_rows(table_of(cells))

    assert [f"{row.key}" for row in rows] == ["team/mine"]


def test_a_curve_is_bounded_and_keeps_its_ends() -> None:
    history = [{"step": step, "loss": 1.0} for step in range(2000)]

    curve = curve_of({"status": {"lossHistory": history}})

    assert len(curve) == POINTS
    assert (curve[0].step, curve[-1].step) == (0, 1999)


def test_a_step_that_was_trained_again_shows_its_later_loss() -> None:
    history = [{"step": 20, "loss": 2}, {"step": 10, "loss": 3}, {"step": 20, "loss": 1}]

    assert curve_of({"status": {"lossHistory": history}}) == ((10, 3), (20, 1))


def test_a_row_with_an_invalid_name_is_omitted() -> None:
    hostile = {"namespace": "team", "name": "../../secrets"}

    assert parse_rows(table_of(["a"], metadata=hostile)) == ()


def test_columns_are_found_by_name_and_missing_ones_are_empty() -> None:
    (row,) = parse_rows(table_of(["mine", 0.5], columns=[{"name": "Name"}, {"name": "Loss"}]))

    assert (row.loss, row.phase, row.percent, row.model) == (0.5, "Pending", None, "")


@pytest.mark.parametrize(("written", "shown"), [(150, 100), (-3, 0), (50, 50), ("50", None)])
def test_progress_is_between_zero_and_one(written: Any, shown: float | None) -> None:
    columns = [{"name": "Progress"}]

    (row,) = parse_rows(table_of([written], columns=columns))

    assert row.percent == shown
