# SPDX-License-Identifier: Apache-2.0
"""Elements from values. Only this module escapes texts, so that none becomes markup."""

from collections.abc import Iterable
from html import escape
from typing import Any, Final

_EMPTY: Final = frozenset({"input", "link", "meta", "hr", "br"})


class Markup(str):
    """Text that is already markup. Only this module creates it from other text."""

    __slots__ = ()


Content = Markup | str | None | Iterable[Any]


def tag(element: str, /, *children: Content, **attributes: str | float | bool | None) -> Markup:
    """One element. An attribute that is None or False is left out; `class_` and `aria_label` are
    the attributes `class` and `aria-label`.
    """
    opened = f"<{element}{''.join(map(_attribute, attributes.items()))}>"
    if element in _EMPTY:
        return Markup(opened)
    return Markup(f"{opened}{join(children)}</{element}>")


def join(children: Iterable[Content]) -> Markup:
    """These children after each other."""
    return Markup("".join(_child(child) for child in children))


def _child(child: Content) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        return escape(child)
    return join(child)


def _attribute(item: tuple[str, str | float | bool | None]) -> str:
    name, value = item
    if value is None or value is False:
        return ""
    written = name.rstrip("_").replace("_", "-")
    return f" {written}" if value is True else f' {written}="{escape(f"{value}")}"'


def unseen(*children: Content) -> Markup:
    """For screen readers only."""
    return tag("span", *children, class_="unseen")
