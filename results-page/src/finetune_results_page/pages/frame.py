# SPDX-License-Identifier: Apache-2.0
"""The frame around each view: head, header, and the live regions that the script fills."""

from string import Template
from typing import Final

from finetune_results_page.model.query import Query
from finetune_results_page.pages.markup import Markup, join, tag
from finetune_results_page.pages.parts import View

TITLE: Final = "Fine-tuning"

_SIGN_IN: Final = View(
    title="Sign in",
    news="",
    is_sign_in=True,
    parts=(
        tag("h1", "Sign in"),
        tag(
            "noscript",
            tag(
                "p",
                "Without JavaScript, this page needs a proxy that signs you in. ",
                tag("code", "kubectl get finetunejobs"),
                " shows the same jobs.",
            ),
        ),
    ),
)


def sign_in() -> View:
    """For a request without a token. The script requests one, or sends the one that it has."""
    return _SIGN_IN


def refused(query: Query, message: str) -> View:
    """Shown instead of a view that cannot be read."""
    title = query.name or query.namespace or "Jobs"
    parts = (tag("h1", title), tag("p", message, class_="failure", id="refusal"))
    return View(title=title, news="", parts=parts)


def complete_page(template: Template, view: View, query: Query) -> str:
    """The document. Everything in it except the template's own text is already markup."""
    main = tag(
        "main",
        join(view.parts),
        id="content",
        tabindex="-1",
        data_news=view.news,
        data_address=query.address(),
        data_refresh=f"{view.refresh_seconds}",
        data_sign_in=view.is_sign_in,
    )
    return template.substitute(
        title=tag("title", f"{view.title} · {TITLE}"),
        namespace=_namespace(query),
        main=main,
    )


def _namespace(query: Query) -> Markup:
    return tag(
        "input",
        id="namespace",
        name="namespace",
        value=query.namespace,
        placeholder="all",
        autocomplete="off",
        autocapitalize="none",
        spellcheck="false",
        size="18",
    )
