# SPDX-License-Identifier: Apache-2.0
"""One installation for all cluster tests, and the first job's run that several of them look at."""

import sys
from collections.abc import Iterator

import pytest

from cluster.installation import NAMESPACE, Installation, install, reasons_for_none
from cluster.jobs import EXAMPLE, Jobs, Resource


@pytest.fixture(scope="session")
def installation(request: pytest.FixtureRequest) -> Iterator[Installation]:
    if reasons := reasons_for_none():
        pytest.skip(" ".join(reasons))
    with install() as installed:
        yield installed
        if request.session.testsfailed and installed.cluster is not None:
            print(installed.cluster.diagnose(), file=sys.stderr)


@pytest.fixture(scope="session")
def jobs(installation: Installation) -> Jobs:
    return Jobs(kubectl=installation.kubectl, namespace=NAMESPACE)


@pytest.fixture(scope="session")
def first_job(jobs: Jobs) -> Resource:
    """The status of the example, applied unchanged and run to its end."""
    jobs.run("apply", "-f", str(EXAMPLE))
    return jobs.wait_for_end("first-job")
