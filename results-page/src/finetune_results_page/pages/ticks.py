# SPDX-License-Identifier: Apache-2.0
"""The ticked jobs, on any page of the list, and the link to compare them."""

from collections.abc import Set as AbstractSet

from finetune_results_page.model.query import COMPARED, JobName, Query
from finetune_results_page.model.wording import count
from finetune_results_page.pages.filters import FORM
from finetune_results_page.pages.markup import Markup, tag


def show_ticked(query: Query, on_page: AbstractSet[JobName]) -> Markup:
    """A bar at the lower edge of the window after a job is ticked."""
    elsewhere = [
        tag("input", type="hidden", name="job", value=f"{key}", form=FORM)
        for key in query.ticked
        if key not in on_page
    ]
    number = len(query.ticked)
    compare = {"form": FORM, "name": "view", "value": "compare", "id": "compare"}
    if number < 2:
        button = tag("button", "Compare", class_="unscripted", **compare)
    else:
        button = tag("button", f"Compare {number} jobs", class_="main", **compare)
    clear = tag("a", "Clear", href=query.but(ticked=(), page=query.page).address(), id="untick")
    return tag(
        "div",
        elsewhere,
        tag("span", _hint(number), class_="hint"),
        button,
        clear if number else None,
        id="ticked",
        class_="active" if number else "idle",
    )


def _hint(number: int) -> str:
    if not number:
        return "Tick two or more jobs to compare them."
    if number == 1:
        return "1 job ticked. Tick another one to compare them."
    most = ", the most that can be compared" if number == COMPARED else ""
    return f"{count(number, 'job')} ticked{most}."
