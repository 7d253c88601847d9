# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of a comparison in interleaved rounds, and its output."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One row: the measurements of both sides, round by round."""

    name: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float]
    digits: int = 1

    def ratios(self) -> list[float]:
        """Ours divided by theirs, for neighbouring rounds."""
        pairs = zip(self.ours, self.theirs, strict=True)
        return [mine / other if other else math.nan for mine, other in pairs]


def order(rounds: int) -> Iterator[bool]:
    """Whether it is our turn: A B B A A B B A, so that neither is always first.

    The n-th turn of one side is next to the n-th of the other.
    """
    for number in range(rounds):
        yield from (True, False) if number % 2 == 0 else (False, True)


def percentile(values: Iterable[float], share: float) -> float:
    """The lowest value that this share of all does not exceed."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def header(theirs: str) -> str:
    return f"| figure | ours | {theirs} | ours / theirs |\n| --- | --- | --- | --- |"


def row(figure: Figure) -> str:
    """Medians of the rounds, with the lowest and the highest of the neighbours' ratios."""
    ratios = figure.ratios()
    ours, theirs = (
        f"{statistics.median(side):.{figure.digits}f} {figure.unit}".strip()
        for side in (figure.ours, figure.theirs)
    )
    ratio = f"{statistics.median(ratios):.2f}"
    if len(ratios) > 1:
        ratio += f" ({min(ratios):.2f} to {max(ratios):.2f})"
    return f"| {figure.name} | {ours} | {theirs} | {ratio} |"


def writes_in_words(writes: Counter[str], jobs: int) -> str:
    """The number for each job, in total and by kind: "2.00: 1.00 create jobs, ...". Refused writes
    do not count, and are listed at the end.
    """
    done = {kind: number for kind, number in writes.items() if kind != "refused"}
    kinds = ", ".join(
        f"{number / jobs:.2f} {kind}"
        for kind, number in sorted(done.items(), key=lambda it: (-it[1], it[0]))
    )
    refused = f"; {writes['refused'] / jobs:.2f} refused" if writes["refused"] else ""
    return f"{sum(done.values()) / jobs:.2f}: {kinds}{refused}"


def done(writes: Counter[str]) -> int:
    """The number of writes, without refused ones."""
    return writes.total() - writes["refused"]
