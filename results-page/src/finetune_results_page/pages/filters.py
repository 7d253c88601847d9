# SPDX-License-Identifier: Apache-2.0
"""The form above the list: text, model, order, phases. Without a script, a button applies it."""

from typing import Final

from finetune_results_page.model.query import NEWEST_FIRST, Query
from finetune_results_page.model.selection import Selection
from finetune_results_page.model.wording import count, model_name
from finetune_results_page.pages.markup import Markup, tag
from finetune_results_page.pages.parts import phase_badge

FORM: Final = "filter"
"""The form's id. Ticks in the table and the button that compares belong to it."""

_ORDERS: Final = {
    NEWEST_FIRST: "Newest first",
    "created": "Oldest first",
    "name": "Name",
    "-name": "Name, from z to a",
    "phase": "Phase",
    "-phase": "Phase, last first",
    "-progress": "Most progress",
    "progress": "Least progress",
    "loss": "Lowest loss",
    "-loss": "Highest loss",
    "-gpus": "Most GPUs",
    "gpus": "Fewest GPUs",
}


def show_filters(query: Query, selection: Selection) -> Markup:
    text = tag(
        "input",
        type="search",
        name="q",
        id="find-text",
        value=query.text,
        maxlength=200,
        autocomplete="off",
        spellcheck="false",
        placeholder="Name, model, reason, queue",
    )
    namespace = tag("input", type="hidden", name="namespace", value=query.namespace)
    return tag(
        "form",
        namespace if query.namespace else None,
        tag("label", tag("span", "Find"), text, class_="wide"),
        tag("label", tag("span", "Model"), _models(query, selection)),
        tag("label", tag("span", "Order"), _orders(query)),
        tag("button", "Apply", class_="unscripted"),
        id=FORM,
        method="get",
        role="search",
        aria_label="Jobs",
    )


def show_phases(query: Query, selection: Selection) -> Markup:
    """A chip for each existing phase, with the number of its jobs."""
    chips = [
        tag(
            "label",
            tag(
                "input",
                type="checkbox",
                name="phase",
                value=phase,
                id=f"phase-{phase}",
                form=FORM,
                checked=phase in query.phases,
                aria_label=f"{phase}, {count(number, 'job')}",
            ),
            phase_badge(phase),
            tag("span", f"{number:,}", class_="number"),
            class_="chip",
        )
        for phase, number in selection.phases.items()
    ]
    clear = query.but(text="", model="", phases=()).address()
    link = tag("a", "Clear the filter", href=clear) if query.is_filtered else None
    legend = tag("legend", "Phase", class_="unseen")
    return tag("fieldset", legend, chips, link, class_="chips", id="phases")


def _models(query: Query, selection: Selection) -> Markup:
    names = [model_name(model) for model in selection.models]
    options = [tag("option", "All models", value="")]
    for model, number in selection.models.items():
        # Two locations may end with the same name.
        name = model_name(model) if names.count(model_name(model)) == 1 else model
        words = f"{name} ({number:,})"
        options.append(tag("option", words, value=model, selected=model == query.model))
    return tag("select", options, name="model", id="find-model")


def _orders(query: Query) -> Markup:
    options = [
        tag("option", words, value=order, selected=order == query.sort)
        for order, words in _ORDERS.items()
    ]
    return tag("select", options, name="sort", id="find-order")
