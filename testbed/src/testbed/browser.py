# SPDX-License-Identifier: Apache-2.0
"""A real Chromium from Debian that sends requests only to the page under test."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from testbed.requirements import install_package

QUIET = (
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-quic", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"),
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser for the duration of a block.

    Raises:
        Missing: there is none on this machine, and it cannot be installed.
    """
    program = install_package("chromium", command="chromium")
    # Its sandbox does not work for root.
    flags = [*QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        try:
            yield browser
        finally:
            browser.close()
