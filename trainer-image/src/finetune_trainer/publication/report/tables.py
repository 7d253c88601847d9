# SPDX-License-Identifier: Apache-2.0
"""Rows and facts as HTML; everything that is shown is escaped here. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape


def facts(rows: Mapping[str, object]) -> str:
    """One fact a row, its name as the row's header; what is None is left out."""
    lines = (
        f"<tr><th scope='row'>{escape(name)}</th><td>{escape(str(value))}</td></tr>"
        for name, value in rows.items()
        if value is not None
    )
    return f"<table><tbody>{''.join(lines)}</tbody></table>"


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], kinds: Sequence[str]) -> str:
    """A table with a header for each column; `kinds` are the columns' classes."""
    head = "".join(
        f"<th scope='col' class='{kind}'>{escape(header)}</th>"
        for header, kind in zip(headers, kinds, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td class='{kind}'>{escape(str(cell))}</td>"
            for cell, kind in zip(row, kinds, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f"<div class='scroll'><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def count(number: float | None) -> str:
    """A count with its thousands apart; a dash for what nobody knows."""
    return "-" if number is None else f"{number:,.0f}"
