# SPDX-License-Identifier: Apache-2.0
"""Links between the pages of this repository have existing targets."""

import re
from pathlib import Path

import pytest

from repository.tracked import ROOT, tracked_files

PAGES = [file for file in tracked_files() if file.suffix == ".md"]


def headings(page: Path) -> set[str]:
    """GitHub's anchors of them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_are_valid(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    lost = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        is_here = "://" not in link
        if is_here and (not target.exists() or (anchor and anchor not in headings(target))):
            lost.append(link)

    assert lost == []
