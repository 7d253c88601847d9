# SPDX-License-Identifier: Apache-2.0
"""Curves as SVG with a description in words, and their figures in a table below."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from finetune_results_page.model.history import LossCurve, Point
from finetune_results_page.model.wording import figure
from finetune_results_page.pages.markup import Markup, tag
from finetune_results_page.pages.tables import Column, table

LINES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """One curve of a picture."""

    label: str
    curve: LossCurve


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """A picture's size and margins. Texts keep their size, so a phone has a separate picture."""

    kind: str
    width: int
    height: int
    left: int = 56
    right: int = 12
    top: int = 12
    bottom: int = 34


WIDE: Final = Canvas(kind="wide", width=1040, height=320)
NARROW: Final = Canvas(kind="narrow", width=360, height=260, left=44)
_SPARK: Final = Canvas(kind="spark", width=112, height=28, left=3, right=4, top=4, bottom=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    canvas: Canvas
    first: float
    last: float
    low: float
    high: float

    def x(self, step: float) -> float:
        room = self.canvas.width - self.canvas.left - self.canvas.right
        return self.canvas.left + (step - self.first) / max(1, self.last - self.first) * room

    def y(self, value: float) -> float:
        room = self.canvas.height - self.canvas.top - self.canvas.bottom
        return self.canvas.height - self.canvas.bottom - self.part(value) * room

    def part(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5


def in_words(name: str, curve: LossCurve) -> str:
    """`Loss: from 2.4 at step 10 to 0.5 at step 200`."""
    first, last = curve[0], curve[-1]
    end = f"{figure(last.loss)} at step {last.step}"
    start = f"from {figure(first.loss)} at step {first.step} to "
    return f"{name}: {end if len(curve) == 1 else f'{start}{end}'}"


def sparkline(curve: LossCurve) -> Markup:
    """The shape of a curve in a cell, from its lowest to its highest value."""
    losses = [point.loss for point in curve]
    scale = _Scale(
        canvas=_SPARK, first=curve[0].step, last=curve[-1].step, low=min(losses), high=max(losses)
    )
    end = curve[-1]
    return tag(
        "svg",
        _line(curve, scale, "curve") if len(curve) > 1 else None,
        tag(
            "circle",
            class_="end",
            cx=f"{scale.x(end.step):.1f}",
            cy=f"{scale.y(end.loss):.1f}",
            r=2.5,
        ),
        class_="spark",
        viewBox=f"0 0 {_SPARK.width} {_SPARK.height}",
        role="img",
        aria_label=in_words("Loss", curve),
    )


def figure_of(title: str, curves: Sequence[Named]) -> Markup:
    """One picture of these curves. An empty one is left out, but keeps its colour."""
    drawn = {index: it for index, it in enumerate(curves, start=1) if it.curve}
    words = [in_words(it.label, it.curve) for it in drawn.values()]
    label = words[0] if len(words) == 1 else f"{title} of {len(words)} jobs. {'; '.join(words)}"
    return tag(
        "figure",
        _legend(drawn) if len(curves) > 1 else None,
        [_picture(label, drawn, canvas) for canvas in (WIDE, NARROW)],
        tag("figcaption", words[0]) if len(curves) == 1 else None,
        tag("details", tag("summary", "Figures"), _figures(title, list(drawn.values()))),
    )


def _picture(label: str, curves: Mapping[int, Named], canvas: Canvas) -> Markup:
    points = [point for it in curves.values() for point in it.curve]
    # From zero if zero is near: a loss is compared with it.
    low = min(0.0, *(point.loss for point in points))
    unit = _round_unit((max(point.loss for point in points) - low) / LINES)
    lines = max(1, math.ceil((max(point.loss for point in points) - low) / unit - 1e-9))
    scale = _Scale(
        canvas=canvas,
        first=min(point.step for point in points),
        last=max(point.step for point in points),
        low=low,
        high=low + unit * lines,
    )
    return tag(
        "svg",
        _grid(scale, [low + unit * number for number in range(lines + 1)]),
        [_series(it.curve, scale, index) for index, it in curves.items()],
        class_=f"chart {canvas.kind}",
        viewBox=f"0 0 {canvas.width} {canvas.height}",
        role="img",
        aria_label=label,
    )


def _grid(scale: _Scale, values: Sequence[float]) -> list[Markup]:
    canvas = scale.canvas
    right, below = canvas.width - canvas.right, canvas.height - 10
    drawn = []
    for value in values:
        y = f"{scale.y(value):.1f}"
        drawn.append(tag("line", class_="grid", x1=canvas.left, x2=right, y1=y, y2=y))
        label = figure(value)
        drawn.append(tag("text", label, x=canvas.left - 8, y=y, dy=4, text_anchor="end"))
    middle = (canvas.left + right) / 2
    drawn.append(tag("text", f"{scale.first:,.0f}", x=canvas.left, y=below))
    drawn.append(tag("text", "step", x=middle, y=below, text_anchor="middle"))
    if scale.last != scale.first:
        drawn.append(tag("text", f"{scale.last:,.0f}", x=right, y=below, text_anchor="end"))
    return drawn


def _series(curve: LossCurve, scale: _Scale, index: int) -> Markup:
    if len(curve) > 1:
        return _line(curve, scale, f"curve series-{index}")
    (point,) = curve
    x, y = scale.x(point.step), scale.y(point.loss)
    return tag("circle", class_=f"point series-{index}", cx=f"{x:.1f}", cy=f"{y:.1f}", r=4)


def _line(curve: LossCurve, scale: _Scale, kind: str) -> Markup:
    return tag("polyline", class_=kind, points=" ".join(_place(point, scale) for point in curve))


def _place(point: Point, scale: _Scale) -> str:
    return f"{scale.x(point.step):.1f},{scale.y(point.loss):.1f}"


def swatch(index: int) -> Markup:
    """How a curve is drawn: its colour and its dashes."""
    return tag(
        "svg",
        tag("line", class_=f"curve series-{index}", x1=0, x2=32, y1=6, y2=6),
        class_="swatch",
        viewBox="0 0 32 12",
        aria_hidden="true",
    )


def _legend(curves: Mapping[int, Named]) -> Markup:
    entries = [
        tag(
            "li",
            swatch(index),
            it.label,
            " ",
            tag("span", figure(it.curve[-1].loss), class_="soft"),
        )
        for index, it in curves.items()
    ]
    return tag("ul", entries, class_="legend")


def _figures(title: str, curves: Sequence[Named]) -> Markup:
    sides = [dict(it.curve) for it in curves]
    steps = sorted({step for side in sides for step in side})
    columns = [Column("Step"), *(Column(it.label) for it in curves)]
    rows = [[f"{step}", *(figure(side.get(step)) for side in sides)] for step in steps]
    return table(f"{title} by step", columns, rows, kind="figures")


def _round_unit(least: float) -> float:
    """The next of 1, 2, 5, 10, ... times a power of ten."""
    if least <= 0:
        return 1
    power = 10.0 ** math.floor(math.log10(least))
    return power * next(times for times in (1, 2, 5, 10) if times * power >= least * (1 - 1e-9))
