# SPDX-License-Identifier: Apache-2.0
"""A tab of a real browser with the results page, and the checks of every such tab."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page


@contextmanager
def a_tab(browser: Browser, url: str, **settings: Any) -> Iterator[Page]:
    """A new tab that sends requests only to the page's server, and has no errors."""
    context = browser.new_context(locale="en-GB", timezone_id="UTC", **settings)
    page = context.new_page()
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console",
        lambda told: errors.append(told.text) if "Content Security Policy" in told.text else None,
    )
    try:
        yield page
    finally:
        context.close()
    assert {urlsplit(it).netloc for it in asked} == {urlsplit(url).netloc}
    assert errors == []


def violations(page: Page) -> list[str]:
    """Accessibility violations that axe finds."""
    found = Axe().run(page).response["violations"]
    return [f"{it['id']}: {it['nodes'][0]['html']}" for it in found]


def sideways(page: Page) -> int:
    """By how many pixels the page can be scrolled sideways."""
    pixels: int = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return pixels
