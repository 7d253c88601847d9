# SPDX-License-Identifier: Apache-2.0
"""Icons as SVG. They differ in shape, and a word is always next to them."""

from typing import Final

from finetune_results_page.pages.markup import Markup, tag

_SHAPES: Final = {
    "clock": "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8M8 4.6V8l2.4 1.6",
    "queue": "M2.5 4h11M2.5 8h11M2.5 12h6",
    "start": "M8 13.5v-11M3.8 6.7 8 2.5l4.2 4.2",
    "run": "M4.5 2.6v10.8L13.2 8z",
    "upload": "M8 10.5v-8M4.8 5.7 8 2.5l3.2 3.2M2.5 10.5v3h11v-3",
    "retry": "M13.4 8a5.4 5.4 0 1 1-1.7-3.9M13.4 1.8v3.3h-3.3",
    "pause": "M5 3v10M11 3v10",
    "check": "M2.6 8.6 6.2 12.2 13.4 4",
    "cross": "M3.5 3.5l9 9M12.5 3.5l-9 9",
    "unknown": "M5.4 5.6a2.6 2.6 0 1 1 3.6 2.5c-.7.3-1 .8-1 1.6M8 12.6v.2",
    "ascending": "M8 13V3M3.8 7.2 8 3l4.2 4.2",
    "descending": "M8 3v10M3.8 8.8 8 13l4.2-4.2",
    "back": "M13 8H3M7.2 3.8 3 8l4.2 4.2",
}


def icon(name: str) -> Markup:
    return tag(
        "svg",
        tag("path", d=_SHAPES[name]),
        class_="icon",
        viewBox="0 0 16 16",
        aria_hidden="true",
        focusable="false",
    )
