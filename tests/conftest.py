# SPDX-License-Identifier: Apache-2.0
"""What holds for all tests."""

import sys
from pathlib import Path

import pytest
import pytest_randomly
from hypothesis import settings

from cluster.installation import describe

TORCH_AT_THE_TOP = frozenset({"test_memory_estimate.py"})
"""Modules of slow tests only that are about nothing but torch's models."""

# The same examples in every run: what chance finds is for `make soak`.
settings.register_profile("short", max_examples=60, derandomize=True, deadline=None, database=None)
settings.load_profile("short")

# DeepSpeed has its random numbers seeded before each test, and is imported for that, with torch.
pytest_randomly.entrypoint_reseeds = []


def pytest_report_header() -> str:
    return f"cluster for the cluster tests: {describe()}"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if _wants_none_slow(config) and collection_path.name in TORCH_AT_THE_TOP else None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Importing torch takes a quarter of a minute, which the pure tests are spared."""
    if _wants_none_slow(session.config) and "torch" in sys.modules:
        raise pytest.UsageError("a test module imports torch at its top: import it in the tests")


def _wants_none_slow(config: pytest.Config) -> bool:
    return "not slow" in str(config.getoption("markexpr"))
