# SPDX-License-Identifier: Apache-2.0
"""The documents as a site: built as by `make docs`, and read in a real browser."""

import contextlib
import fcntl
import functools
import os
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from playwright.sync_api import Browser, Request
from playwright.sync_api import TimeoutError as TimedOut

from repository.tracked import ROOT

pytestmark = pytest.mark.long

GENERATOR = ROOT / "build" / "docs-venv" / "bin" / "zensical"
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 800}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with source and site."""
    folder = tmp_path_factory.mktemp("docs")
    (ROOT / "build").mkdir(exist_ok=True)
    # `make` in `make` would pass on its own flags.
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    command = ["make", "docs", f"SITE_SOURCE={folder}", f"PYTHON={sys.executable}"]
    with (ROOT / "build" / "docs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return folder


@pytest.fixture(scope="module")
def address(built: Path) -> Iterator[str]:
    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """No log: a failing test has its own message."""

    handler = functools.partial(Handler, directory=str(built / "site"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def pages_of(built: Path) -> list[tuple[Path, Path]]:
    """Each page's Markdown and HTML."""
    source, site = built / "docs", built / "site"
    pages = []
    for file in sorted(source.rglob("*.md")):
        place = file.relative_to(source)
        is_index = place.name in ("index.md", "README.md")
        folder = place.parent if is_index else place.with_suffix("")
        pages.append((file, site / folder / "index.html"))
    return pages


@pytest.mark.parametrize(
    ("link", "complaint"),
    [("missing.md", "page does not exist"), ("memory.md#no-such-heading", "anchor")],
)
def test_a_dead_link_fails_the_build(
    built: Path, tmp_path: Path, link: str, complaint: str
) -> None:
    folder = tmp_path / "docs"
    shutil.copytree(built, folder, ignore=shutil.ignore_patterns("site", ".cache"))
    # The style and the icon are in a directory of that name, too.
    shutil.copytree(built / "docs" / "site", folder / "docs" / "site", dirs_exist_ok=True)
    page = folder / "docs" / "user" / "training.md"
    page.write_text(f"{page.read_text()}\nSee [this]({link}).\n")

    done = subprocess.run(
        [GENERATOR, "build", "--strict"], cwd=folder, capture_output=True, text=True
    )

    assert done.returncode != 0
    assert complaint in f"{done.stdout}{done.stderr}"
    assert "1 issue" in f"{done.stdout}{done.stderr}"


class Structure(HTMLParser):
    """Counts the elements of a page, inside its article if it has one."""

    COUNTED = frozenset({"li", "table", "tr", "pre", "img", "h1", "h2", "h3", "h4"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self._is_inside = "<article" not in html
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._is_inside = self._is_inside or tag == "article"
        if self._is_inside and tag in self.COUNTED:
            self.counts[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        self._is_inside = self._is_inside and tag != "article"


def test_the_site_shows_each_page_as_github_does(built: Path) -> None:
    """Python-Markdown and GitHub differ in lists and tables; the documents avoid those."""
    github = MarkdownIt("commonmark").enable("table")
    differs = {}
    for source, html in pages_of(built):
        text = re.sub(r"\A---\n.*?\n---\n", "", source.read_text(), flags=re.DOTALL)
        wanted, shown = Structure(github.render(text)).counts, Structure(html.read_text()).counts
        if wanted != shown:
            differs[source.name] = (wanted - shown, shown - wanted)

    assert differs == {}


@pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_no_page_is_wider_than_the_screen_or_loads_from_another_server(
    built: Path, address: str, browser: Browser, screen: dict[str, int]
) -> None:
    elsewhere: list[str] = []
    errors: list[str] = []

    def note(request: Request) -> None:
        if not request.url.startswith((address, "data:", "blob:")):
            elsewhere.append(request.url)

    context = browser.new_context(viewport=screen, is_mobile=screen is PHONE)  # type: ignore[arg-type]
    page = context.new_page()
    page.on("request", note)
    page.on("pageerror", lambda error: errors.append(str(error)))
    wide = {}
    for _, html in pages_of(built):
        place = html.parent.relative_to(built / "site").as_posix()
        page.goto(f"{address}{place}/")
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > screen["width"]:
            wide[place] = width
    context.close()

    assert wide == {}
    assert elsewhere == []
    assert errors == []


def test_on_a_phone_a_cell_shows_the_title_of_its_column(address: str, browser: Browser) -> None:
    context = browser.new_context(viewport=PHONE, is_mobile=True)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{address}user/troubleshooting/")
    cell = page.locator("table td:nth-child(2)").first

    assert cell.get_attribute("data-title") == "reason"
    assert cell.evaluate("cell => getComputedStyle(cell, '::before').content") == '"reason"'
    assert cell.evaluate("cell => cell.offsetWidth") > 300
    context.close()


def test_a_reason_is_found_by_the_search(address: str, browser: Browser) -> None:
    context = browser.new_context(viewport=DESKTOP)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(address, wait_until="networkidle")
    page.keyboard.press("Control+k")
    # All at once: after single keys, Enter may open the first result of "I".
    page.keyboard.insert_text("InterruptedTooOften")

    # The results are in a closed shadow root: Enter opens the first, once it exists.
    for _ in range(30):
        page.keyboard.press("Enter")
        with contextlib.suppress(TimedOut):
            page.wait_for_url(re.compile("/user/"), timeout=1000)
            break

    assert "InterruptedTooOften" in page.locator("article").inner_text()
    assert "/user/" in page.url
    context.close()
