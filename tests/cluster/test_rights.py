# SPDX-License-Identifier: Apache-2.0
"""The operator's permissions compared with its requests in all the other tests, which run before
these.
"""

from pathlib import Path

import pytest

from cluster import rights
from cluster.installation import Installation
from cluster.jobs import Resource

pytestmark = pytest.mark.cluster

ACCOUNT = rights.account_in(rights.NAMESPACE)


@pytest.fixture(scope="module")
def audit(installation: Installation) -> list[Resource]:
    if installation.cluster is None:
        pytest.skip("The audit log of a given cluster is its owner's.")
    return installation.cluster.audit()


def test_no_request_of_the_operator_is_refused(audit: list[Resource]) -> None:
    assert rights.used(audit, ACCOUNT)
    assert list(rights.refused(audit, ACCOUNT)) == []


@pytest.mark.long
def test_every_right_of_the_operator_is_used(
    request: pytest.FixtureRequest, installation: Installation, audit: list[Resource]
) -> None:
    ran = {item.path for item in request.session.items}
    if missing := _cluster_tests() - ran:
        names = ", ".join(sorted(file.name for file in missing))
        pytest.skip(f"Only all tests together use every right; without {names}")

    assert rights.granted(installation.kubectl) - rights.used(audit, ACCOUNT) == set()


def _cluster_tests() -> set[Path]:
    """Those of the installed operator: other tests run separate operators."""
    texts = {file: file.read_text() for file in Path(__file__).parent.glob("test_*.py")}
    elsewhere = ("pytest.mark.control_plane", "pytest.mark.own_cluster", "= pytest.mark.soak")
    return {
        file
        for file, text in texts.items()
        if "pytest.mark.cluster" in text and not any(mark in text for mark in elsewhere)
    }
