# SPDX-License-Identifier: Apache-2.0
"""Shared parts of views: a phase, a bar, tiles, a moment, a model's name."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from finetune_results_page.model.phases import look_of
from finetune_results_page.model.wording import model_name
from finetune_results_page.pages.icons import icon
from finetune_results_page.pages.markup import Content, Markup, tag


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The main part of the page, and texts about it elsewhere."""

    title: str
    news: str
    """The announcement for screen readers when it changes."""
    parts: tuple[Markup, ...]
    refresh_seconds: int = 5
    is_sign_in: bool = False
    """Whether the script must request a token."""


def phase_badge(phase: str) -> Markup:
    look = look_of(phase)
    return tag("span", icon(look.icon), phase, class_=f"badge {look.tone}")


def progress_bar(percent: float, phase: str) -> Markup:
    return tag(
        "progress",
        class_=look_of(phase).tone,
        max="100",
        value=f"{percent:.0f}",
        aria_label="Progress",
    )


def percent_text(percent: float) -> str:
    return f"{percent:.0f} %"


def model_text(model: str) -> Markup | None:
    """A model's name on one line; the config's complete value is its title."""
    if not model:
        return None
    name = model_name(model)
    return tag("span", name, class_="model", title=model if name != model else None)


def tiles(values: Iterable[tuple[str, Content]]) -> Markup:
    """Tiles with a name and a value each; those without a value are left out."""
    shown = [(name, value) for name, value in values if value not in {None, ""}]
    return tag("dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in shown])


def moment(time: datetime | None) -> Markup | None:
    """In UTC; the page's script shows it in the reader's time zone."""
    if time is None:
        return None
    return tag("time", f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC", datetime=time.isoformat())


def section(title: str, *children: Content) -> Markup:
    return tag("section", tag("h2", title), *children)
