# SPDX-License-Identifier: Apache-2.0
"""What holds for all tests."""

from cluster.installation import describe


def pytest_report_header() -> str:
    return f"cluster for the cluster tests: {describe()}"
