# SPDX-License-Identifier: Apache-2.0
"""Curves and histograms as self-contained SVG. Pure.

Colours are those of the surrounding page, or their own in a separate file. Each has a text
alternative.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape

Curve = Sequence[tuple[int, float]]

WIDE, NARROW = 720, 440
"""Widths; two narrow ones fit side by side, with the same font size as a wide one."""

HEIGHT = 300
LEFT, RIGHT, TOP, BOTTOM = 60, 16, 30, 40
COLOURS = (
    "var(--c1,#2563eb)",
    "var(--c2,#d97706)",
    "var(--c3,#059669)",
    "var(--c4,#9333ea)",
)
INK, LINE, PAPER = "var(--soft,#6b7280)", "var(--line,#e5e7eb)", "var(--paper,#ffffff)"
TICKS = 5
MOST_POINTS = 600
"""More points are no wider than a pixel, and would make the page of a long run too large for
browsers.
"""


def draw(
    curves: Mapping[str, Curve],
    title: str,
    *,
    level: tuple[str, float] | None = None,
    width: int = WIDE,
) -> str:
    """The curves in one picture, by name; empty ones are left out. `level` is a horizontal line."""
    drawn = {name: thinned(curve) for name, curve in curves.items() if curve}
    points = [point for curve in drawn.values() for point in curve]
    if not points:
        return _picture(title, "nothing was logged", _words("no values"), width)
    values = [value for _, value in points] + ([] if level is None else [level[1]])
    # From zero if zero is near: a loss or a learning rate is compared with it.
    low = 0.0 if min(values) >= 0 else min(values)
    steps = [step for step, _ in points]
    frame = _Frame(min(steps), max(steps), low, values, width=width)
    body = [frame.grid(), frame.axis_name("step")]
    legend = list(drawn)
    for place, curve in enumerate(drawn.values()):
        body.append(frame.line(curve, COLOURS[place % len(COLOURS)]))
    if level is not None:
        body.append(frame.level(level[1], COLOURS[len(drawn) % len(COLOURS)]))
        legend.append(level[0])
    body.append(_legend(legend))
    said = "; ".join(f"{name}: {_in_words(curve)}" for name, curve in drawn.items())
    return _picture(title, said, "".join(body), width)


def histogram(edges: Sequence[int], counts: Sequence[int], title: str, *, mark: int | None) -> str:
    """The number of rows by length; `mark` is the length at which they are cut.

    The last bucket may be much wider than the others, so it is drawn with the same width.
    """
    if not counts or not any(counts):
        return _picture(title, "nothing was counted", _words("no rows"), WIDE)
    frame = _Frame(0, len(counts), 0.0, [float(max(counts))], are_steps=False)
    body = [frame.grid(), frame.axis_name("tokens")]
    for place, rows in enumerate(counts):
        body.append(frame.bar(place, rows, f"{edges[place]} to {edges[place + 1] - 1}: {rows}"))
    every = max(1, math.ceil(len(edges) / 8))
    body += [_tick(frame.x(at), f"{edges[at]:,}") for at in range(0, len(edges), every)]
    said = f"{sum(counts)} rows of {edges[0]} to {edges[-1] - 1} tokens"
    if mark is not None:
        body.append(frame.mark(_place_of(mark, edges), f"max_length {mark:,}"))
        said += f"; max_length is {mark}"
    return _picture(title, said, "".join(body), WIDE)


def thinned(curve: Curve) -> list[tuple[int, float]]:
    """At most `MOST_POINTS` of the points: the lowest and the highest of each section, so that
    spikes remain visible.
    """
    if len(curve) <= MOST_POINTS:
        return list(curve)
    size = math.ceil(len(curve) / (MOST_POINTS // 2 - 1))
    kept = {curve[0], curve[-1]}
    for start in range(0, len(curve), size):
        stretch = curve[start : start + size]
        kept |= {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
    return sorted(kept)


def _in_words(curve: Curve) -> str:
    (first, before), (last, after) = curve[0], curve[-1]
    return f"{before:.4g} at step {first}, {after:.4g} at step {last}"


class _Frame:
    """From steps and values to coordinates."""

    def __init__(
        self,
        first: int,
        last: int,
        low: float,
        values: Sequence[float],
        *,
        width: int = WIDE,
        are_steps: bool = True,
    ) -> None:
        self._right = width - RIGHT
        self._first, self._steps = first, max(1, last - first)
        self._unit = _round_unit((max(values) - low) / TICKS)
        self._low = math.floor(low / self._unit) * self._unit
        self._lines = max(1, math.ceil((max(values) - self._low) / self._unit - 1e-9))
        self._are_steps = are_steps

    def x(self, step: float) -> float:
        return LEFT + (step - self._first) / self._steps * (self._right - LEFT)

    def y(self, value: float) -> float:
        share = (value - self._low) / (self._lines * self._unit)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def line(self, curve: Curve, colour: str) -> str:
        if len(curve) == 1:
            x, y = self.x(curve[0][0]), self.y(curve[0][1])
            return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='4' style='fill:{colour}'/>"
        places = " ".join(f"{self.x(step):.1f},{self.y(value):.1f}" for step, value in curve)
        return (
            f"<polyline points='{places}' style='fill:none;stroke:{colour};stroke-width:2;"
            "stroke-linejoin:round'/>"
        )

    def level(self, value: float, colour: str) -> str:
        return (
            f"<line x1='{LEFT}' x2='{self._right}' y1='{self.y(value):.1f}' "
            f"y2='{self.y(value):.1f}' style='stroke:{colour};stroke-width:1.5;"
            "stroke-dasharray:6 4'/>"
        )

    def bar(self, place: int, rows: int, said: str) -> str:
        left, right, top = self.x(place), self.x(place + 1), self.y(rows)
        return (
            f"<rect x='{left + 0.5:.1f}' y='{top:.1f}' width='{max(0.5, right - left - 1):.1f}' "
            f"height='{max(0.0, self.y(0) - top):.1f}' style='fill:{COLOURS[0]}'>"
            f"<title>{escape(said)}</title></rect>"
        )

    def mark(self, place: float, said: str) -> str:
        x = self.x(place)
        anchor = "end" if x > self._right * 0.7 else "start"
        return (
            f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{TOP - 8}' y2='{HEIGHT - BOTTOM}' "
            f"style='stroke:{COLOURS[1]};stroke-width:2;stroke-dasharray:6 4'/>"
            f"<text x='{x + (-6 if anchor == 'end' else 6):.1f}' y='{TOP - 12}' "
            f"text-anchor='{anchor}' style='fill:{COLOURS[1]}'>{escape(said)}</text>"
        )

    def axis_name(self, name: str) -> str:
        return f"<text x='{self._right}' y='{HEIGHT - 4}' text-anchor='end'>{name}</text>"

    def grid(self) -> str:
        lines = []
        for line in range(self._lines + 1):
            value = self._low + line * self._unit
            y = self.y(value)
            lines.append(
                f"<line x1='{LEFT}' x2='{self._right}' y1='{y:.1f}' y2='{y:.1f}' "
                f"style='stroke:{LINE}'/><text x='{LEFT - 8}' y='{y + 4:.1f}' "
                f"text-anchor='end'>{_number(value, self._unit)}</text>"
            )
        if self._are_steps:
            unit = max(1, round(_round_unit(self._steps / TICKS)))
            first = math.ceil(self._first / unit) * unit
            steps = range(first, self._first + self._steps + 1, unit)
            lines += [_tick(self.x(step), f"{step:,}") for step in steps]
        return "".join(lines)


def _place_of(length: int, edges: Sequence[int]) -> float:
    """The position of a length in the row of buckets: a fraction is within a bucket."""
    if length >= edges[-1]:
        return float(len(edges) - 1)
    for place in range(len(edges) - 1):
        if length < edges[place + 1]:
            share = (length - edges[place]) / (edges[place + 1] - edges[place])
            return place + max(0.0, share)
    return 0.0


def _round_unit(unit: float) -> float:
    """The next of 1, 2, 5, 10, ... in the same magnitude."""
    if unit <= 0 or not math.isfinite(unit):
        return 1.0
    scale = 10.0 ** math.floor(math.log10(unit))
    return next(digit * scale for digit in (1, 2, 5, 10) if digit * scale >= unit * (1 - 1e-9))


def _number(value: float, unit: float) -> str:
    """The value with enough digits to distinguish it from the next line."""
    if abs(value) < unit / 2:
        return "0"
    if unit < 1e-3:
        digits, exponent = f"{value:.1e}".split("e")
        return f"{digits.removesuffix('.0')}e{int(exponent)}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _tick(x: float, said: str) -> str:
    return f"<text x='{x:.1f}' y='{HEIGHT - BOTTOM + 18}' text-anchor='middle'>{said}</text>"


def _legend(names: Sequence[str]) -> str:
    entries, x = [], float(LEFT)
    for place, name in enumerate(names):
        colour = COLOURS[place % len(COLOURS)]
        entries.append(
            f"<rect x='{x:.0f}' y='8' width='14' height='4' style='fill:{colour}'/>"
            f"<text x='{x + 20:.0f}' y='15'>{escape(name)}</text>"
        )
        x += 20 + 7.5 * len(name) + 24
    return "".join(entries)


def _words(text: str) -> str:
    return f"<text x='50%' y='50%' text-anchor='middle'>{text}</text>"


def _picture(title: str, said: str, body: str, width: int) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {HEIGHT}' role='img' "
        f"font-family='system-ui,sans-serif' font-size='12' style='fill:{INK}'>"
        f"<title>{escape(title)}</title><desc>{escape(said)}</desc>"
        f"<rect width='100%' height='100%' style='fill:{PAPER}'/>{body}</svg>"
    )
