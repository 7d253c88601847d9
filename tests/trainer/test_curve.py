# SPDX-License-Identifier: Apache-2.0
"""Curves are pictures that need nothing else."""

from xml.etree import ElementTree

import pytest

from finetune_trainer.curve import draw


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
