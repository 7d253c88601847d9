# SPDX-License-Identifier: Apache-2.0
"""Which jobs are ticked, on whatever page of the list they are, and the way to compare them."""

from collections.abc import Set as AbstractSet

from finetune_results_page.model.query import COMPARED, JobKey, Query
from finetune_results_page.model.wording import count
from finetune_results_page.pages.filters import FORM
from finetune_results_page.pages.markup import Markup, tag


def show_ticked(query: Query, on_page: AbstractSet[JobKey]) -> Markup:
    """A bar at the lower edge of the window once a job is ticked."""
    elsewhere = [
        tag("input", type="hidden", name="job", value=f"{key}", form=FORM)
        for key in query.ticked
        if key not in on_page
    ]
    number = len(query.ticked)
    compare = {"form": FORM, "name": "view", "value": "compare", "id": "compare"}
    if number < 2:
        hint = (
            "Tick two or more jobs to compare them."
            if not number
            else "Tick another job to compare."
        )
        button = tag("button", "Compare", class_="unscripted", **compare)
    else:
        hint = count(number, "job") + (
            " ticked, the most that can be compared" if number == COMPARED else " ticked"
        )
        button = tag("button", f"Compare {number} jobs", class_="main", **compare)
    clear = tag("a", "Clear", href=query.but(ticked=(), page=query.page).address(), id="untick")
    return tag(
        "div",
        elsewhere,
        tag("span", hint, class_="hint"),
        button,
        clear if number else None,
        id="ticked",
        class_="active" if number else "idle",
    )
