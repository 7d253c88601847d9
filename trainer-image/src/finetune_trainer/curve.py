# SPDX-License-Identifier: Apache-2.0
"""Draws curves as SVG, self-contained. Pure."""

from collections.abc import Mapping, Sequence
from html import escape

Curve = Sequence[tuple[int, float]]

WIDTH, HEIGHT = 720, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 28, 36
COLOURS = ("#2563eb", "#dc2626", "#059669", "#9333ea")
TICKS = 5


def draw(curves: Mapping[str, Curve], title: str) -> str:
    """The curves in one picture, by name; empty ones are left out."""
    drawn = {name: curve for name, curve in curves.items() if curve}
    points = [point for curve in drawn.values() for point in curve]
    if not points:
        return _picture(title, "<text x='50%' y='50%' text-anchor='middle'>no values</text>")
    steps = [step for step, _ in points]
    values = [value for _, value in points]
    frame = _Frame(min(steps), max(steps), min(0.0, *values), max(values))
    body = [frame.grid()]
    for place, (name, curve) in enumerate(drawn.items()):
        colour = COLOURS[place % len(COLOURS)]
        body.append(frame.line(curve, colour))
        body.append(
            f"<text x='{LEFT + 8 + place * 130}' y='{TOP - 10}' fill='{colour}'>"
            f"{escape(name)}</text>"
        )
    return _picture(title, "".join(body))


class _Frame:
    """From steps and values to places in the picture."""

    def __init__(self, first: int, last: int, low: float, high: float) -> None:
        self._first, self._steps = first, max(1, last - first)
        self._low, self._range = low, (high - low) or 1.0

    def x(self, step: float) -> float:
        return LEFT + (step - self._first) / self._steps * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self._low) / self._range * (HEIGHT - TOP - BOTTOM)

    def line(self, curve: Curve, colour: str) -> str:
        if len(curve) == 1:
            x, y = self.x(curve[0][0]), self.y(curve[0][1])
            return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{colour}'/>"
        places = " ".join(f"{self.x(step):.1f},{self.y(value):.1f}" for step, value in curve)
        return f"<polyline points='{places}' fill='none' stroke='{colour}' stroke-width='2'/>"

    def grid(self) -> str:
        lines = []
        for tick in range(TICKS + 1):
            value = self._low + self._range * tick / TICKS
            step = self._first + self._steps * tick / TICKS
            y, x = self.y(value), self.x(step)
            lines.append(
                f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}' "
                f"stroke='#e5e7eb'/><text x='{LEFT - 6}' y='{y + 4:.1f}' "
                f"text-anchor='end'>{value:.3g}</text>"
                f"<text x='{x:.1f}' y='{HEIGHT - 14}' text-anchor='middle'>{step:.4g}</text>"
            )
        return "".join(lines)


def _picture(title: str, body: str) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' "
        f"width='{WIDTH}' height='{HEIGHT}' font-family='sans-serif' font-size='11' "
        f"fill='#374151' role='img'><title>{escape(title)}</title>"
        f"<rect width='100%' height='100%' fill='#ffffff'/>{body}</svg>"
    )
