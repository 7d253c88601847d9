# SPDX-License-Identifier: Apache-2.0
"""The share of padding is reported with its figures if packing would save it."""

import random
import re

import pytest

from finetune_trainer.exchange.data_account import Lengths, measure_lengths
from finetune_trainer.exchange.padding import advise_on_padding, expect_padding


def a_histogram(rows: list[int]) -> Lengths:
    lengths = sorted(set(rows))
    found = measure_lengths(lengths, [rows.count(length) for length in lengths])
    assert found is not None
    return found


def drawn(seed: int) -> list[int]:
    """Many short rows and some long ones, like conversations."""
    source = random.Random(seed)  # noqa: S311 - rows, no secrets
    return [1 + int(source.lognormvariate(5, 0.8)) for _ in range(2000)]


@pytest.mark.parametrize("batch", [1, 2, 8, 32])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_expected_padding_matches_randomly_drawn_batches(batch: int, seed: int) -> None:
    rows, longest = drawn(seed), 1024
    cut = [min(row, longest) for row in rows]
    source = random.Random(seed + 7)  # noqa: S311 - rows, no secrets
    batches = [source.choices(cut, k=batch) for _ in range(4000)]

    found = expect_padding(a_histogram(rows), batch, longest)

    assert found.mean == pytest.approx(sum(cut) / len(cut), rel=0.05)
    padded = sum(max(each) for each in batches) / len(batches)
    assert found.padded == pytest.approx(padded, rel=0.05)


def test_padding_is_reported_with_its_figures_and_the_effect_of_packing() -> None:
    told = advise_on_padding(a_histogram([100] * 900 + [1000] * 900), 2, 1000)

    # Half of the rows are long: with two rows, three of four batches contain one.
    assert told is not None
    share, mean, padded, batch, packed = (float(it) for it in re.findall(r"[\d.]*\d", told))
    assert (share, mean, padded) == pytest.approx((29, 550, 775), rel=0.05)
    assert (batch, packed) == (2, 1.8)
    assert "packing: true avoids padding" in told


@pytest.mark.parametrize(
    ("rows", "batch", "longest"),
    [
        pytest.param([500] * 2000, 8, 1024, id="rows of one length"),
        pytest.param([100] * 900 + [1000] * 900, 1, 1000, id="single rows"),
        pytest.param([100] * 90 + [1000] * 90, 8, 1000, id="few rows"),
        pytest.param([100] * 900 + [1000] * 900, 8, None, id="no length for packs"),
        pytest.param([3000] * 900 + [1000] * 900, 8, 1000, id="rows that are cut to one length"),
    ],
)  # fmt: skip
def test_padding_is_not_reported_for(rows: list[int], batch: int, longest: int | None) -> None:
    assert advise_on_padding(a_histogram(rows), batch, longest) is None


def test_unknown_lengths_give_no_advice() -> None:
    assert advise_on_padding(None, 8, 1024) is None
