# SPDX-License-Identifier: Apache-2.0
"""Charts are self-contained pictures with a text alternative."""

from xml.etree import ElementTree

import pytest

from finetune_trainer.publication.report.charts import MOST_POINTS, draw, histogram, thinned


@pytest.mark.parametrize(
    "curve",
    [
        pytest.param([(1, 4.0), (2, 3.0), (9, 0.5)], id="a curve"),
        pytest.param([(1, 4.0)], id="one point"),
        pytest.param([(1, 2.0), (2, 2.0)], id="a flat line"),
        pytest.param([], id="nothing"),
    ],
)
def test_every_curve_is_well_formed(curve: list[tuple[int, float]]) -> None:
    picture = ElementTree.fromstring(draw({"loss": curve, "<eval>": []}, "<title>"))  # noqa: S314

    assert picture.tag.endswith("svg")
    assert "nan" not in ElementTree.tostring(picture, encoding="unicode")


def test_a_curve_describes_its_first_and_last_values_in_words() -> None:
    picture = draw({"loss": [(1, 4.0), (9, 0.5)]}, "Loss")

    assert "<desc>loss: 4 at step 1, 0.5 at step 9</desc>" in picture


def test_a_long_curve_is_thinned_and_keeps_its_spikes() -> None:
    curve = [(step, 99.0 if step == 5_000 else 1.0) for step in range(100_000)]

    kept = thinned(curve)

    assert len(kept) <= MOST_POINTS
    assert (5_000, 99.0) in kept
    assert kept[0] == curve[0]
    assert kept[-1] == curve[-1]


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        pytest.param(25, "max_length is 25", id="within"),
        pytest.param(10_000, "max_length is 10000", id="beyond the last row"),
        pytest.param(None, "60 rows", id="none"),
    ],
)
def test_a_histogram_marks_where_rows_are_truncated(mark: int | None, said: str) -> None:
    picture = histogram([0, 10, 20, 30, 400], [10, 20, 25, 5], "Lengths", mark=mark)

    assert said in picture
    assert ("max_length" in picture) == (mark is not None)
    root = ElementTree.fromstring(picture)  # noqa: S314
    assert len([each for each in root.iter() if each.tag.endswith("rect")]) == 5


def test_an_empty_histogram_is_a_valid_picture() -> None:
    ElementTree.fromstring(histogram([], [], "Lengths", mark=None))  # noqa: S314
