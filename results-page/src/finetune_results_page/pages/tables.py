# SPDX-License-Identifier: Apache-2.0
"""Tables that become a list of cards on narrow screens.

Roles are explicit, because a table with grid layout loses its own in some browsers.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from finetune_results_page.pages.markup import Content, Markup, tag

KEY: Final = "key"
"""The kind of a column whose cells name their rows: a screen reader repeats them for each value."""


class Column(NamedTuple):
    heading: str
    kind: str = ""
    """A class of its cells."""


def table(
    caption: Content, columns: Sequence[Column], rows: Iterable[Sequence[Content]], kind: str = ""
) -> Markup:
    """A table with a heading for each column. The first cell of a row names the row."""
    head = [tag("th", column.heading, scope="col", role="columnheader") for column in columns]
    return frame(caption, head, [_row(columns, row) for row in rows], kind)


def frame(caption: Content, head: Content, body: Content, kind: str) -> Markup:
    """The table around these cells and rows."""
    return tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", head, role="row"), role="rowgroup"),
        tag("tbody", body, role="rowgroup"),
        class_=kind or None,
        role="table",
    )


def cell(column: Column, *children: Content) -> Markup:
    """A cell that includes its heading, for the cards of a phone."""
    label = column.heading or None
    if column.kind == KEY:
        about = {"scope": "row", "role": "rowheader"}
        return tag("th", *children, class_=KEY, data_label=label, **about)
    return tag("td", *children, class_=column.kind or None, data_label=label, role="cell")


def _row(columns: Sequence[Column], row: Sequence[Content]) -> Markup:
    cells = (cell(column, child) for column, child in zip(columns, row, strict=True))
    return tag("tr", cells, role="row")
