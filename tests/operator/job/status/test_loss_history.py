# SPDX-License-Identifier: Apache-2.0
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.job.status.loss_history import MAX_POINTS, resumed_from, with_point

REPORTS = st.lists(
    st.tuples(st.integers(min_value=0, max_value=10_000), st.floats(0, 10)), max_size=300
)


def told(reports: list[tuple[int, float]]) -> list[dict[str, Any]]:
    history: list[dict[str, Any]] = []
    for step, loss in reports:
        history = with_point(history, step, loss)
    return history


@given(REPORTS)
def test_a_curve_is_bounded_with_increasing_steps_for_any_reports(
    reports: list[tuple[int, float]],
) -> None:
    steps = [point["step"] for point in told(reports)]

    assert len(steps) <= MAX_POINTS
    assert steps == sorted(set(steps))


@given(REPORTS.filter(bool))
def test_a_curve_ends_with_the_newest_report(reports: list[tuple[int, float]]) -> None:
    step, loss = reports[-1]

    assert told(reports)[-1] == {"step": step, "loss": loss}


@given(st.integers(min_value=1, max_value=2000))
def test_a_curve_of_any_length_keeps_its_first_point_and_stays_even(length: int) -> None:
    steps = [point["step"] for point in told([(step, 1.0) for step in range(length)])]

    gaps = [after - before for before, after in pairwise(steps)]
    assert steps[0] == 0
    assert max(gaps, default=1) <= 4 * length / MAX_POINTS + 1


def test_a_report_without_a_loss_leaves_the_curve_unchanged() -> None:
    curve = told([(1, 2.0)])

    assert with_point(curve, 2, None) == with_point(curve, None, 1.0) == curve


def test_steps_that_are_trained_again_after_a_resume_are_dropped() -> None:
    curve = told([(5, 2.0), (10, 1.0), (15, 0.5)])

    assert [point["step"] for point in resumed_from(curve, 10)] == [5, 10]
    assert resumed_from(curve, None) == curve
