# SPDX-License-Identifier: Apache-2.0
"""Draws losses in a terminal. No I/O here."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import plotext

from finetune_contract.printable import on_one_line

WIDTH, HEIGHT = 80, 20
MARKERS = ("braille", "o", "x", "+", "*")
"""Markers that distinguish curves without colours."""

Body = Mapping[str, Any]


def draw(
    jobs: Sequence[Body], *, width: int = WIDTH, height: int = HEIGHT, is_coloured: bool = False
) -> str:
    """The losses of these jobs over their steps, in one picture.

    Raises:
        ValueError: none of them has reported a loss yet.
    """
    curves = {
        job["metadata"]["name"]: history
        for job in jobs
        if (history := job.get("status", {}).get("lossHistory"))
    }
    if not curves:
        names = ", ".join(job["metadata"]["name"] for job in jobs)
        raise ValueError(f"{names}: no loss has been reported yet")
    plotext.clear_figure()
    plotext.plot_size(width, height)
    plotext.theme("pro" if is_coloured else "clear")
    for (name, history), marker in zip(curves.items(), cycle(MARKERS), strict=False):
        steps, losses = ([point[key] for point in history] for key in ("step", "loss"))
        label = on_one_line(name)
        plotext.plot(steps, losses, label=label, marker="braille" if is_coloured else marker)
    plotext.xlabel("step")
    plotext.ylabel("loss")
    picture: str = plotext.build()
    return picture if is_coloured else plotext.uncolorize(picture)
