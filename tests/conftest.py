# SPDX-License-Identifier: Apache-2.0
"""Settings for all tests."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_randomly
from hypothesis import settings

from cluster.installation import describe

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ALL_SLOW = re.compile(
    r"^pytestmark = (\[\s*)?pytest\.mark\.(slow|storage|cluster|gpu|soak)\b", re.MULTILINE
)
"""Marks a module without a fast test: importing it would cost the fast tests more than some of them
take, and some modules import torch.
"""

LONGEST = frozenset(
    f"test_{name}.py"
    for name in ("demo", "two_supervisors", "training", "resume_together", "mutations", "kills")
)
"""Files with few tests that take a minute or more. One worker gets all of a file, and would still
run when the other has nothing left: these begin (`--no-loadscope-reorder` leaves them there).
"""

# The same examples in every run: random ones are for `make soak`. `make test-all` has the long
# form: --hypothesis-profile=long.
settings.register_profile("short", max_examples=20, derandomize=True, deadline=None, database=None)
settings.register_profile("long", settings.get_profile("short"), max_examples=300)
settings.load_profile("short")

# DeepSpeed's random numbers are seeded before each test, which imports it, with torch.
pytest_randomly.entrypoint_reseeds = []


def pytest_report_header() -> str:
    return f"cluster for the cluster tests: {describe()}"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if collection_path.suffix != ".py" or not _wants_none_slow(config):
        return None
    return True if ALL_SLOW.search(collection_path.read_text()) else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Importing torch takes a quarter of a minute, which the pure tests do not need."""
    if _wants_none_slow(session.config) and "torch" in sys.modules:
        raise pytest.UsageError("a test module imports torch at its top: import it in the tests")


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A real Chromium."""
    from testbed import browser as testbed_browser
    from testbed.requirements import Missing

    try:
        with testbed_browser.chromium() as opened:
            yield opened
    except Missing as missing:
        pytest.skip(str(missing))


def _wants_none_slow(config: pytest.Config) -> bool:
    return "not slow" in str(config.getoption("markexpr"))
