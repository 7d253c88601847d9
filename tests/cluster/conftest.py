# SPDX-License-Identifier: Apache-2.0
"""One installation for all cluster tests, and the first job's run that several of them look at."""

import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import replicas, rights
from cluster.faulty_api import find_strangers
from cluster.installation import NAMESPACE, REPOSITORY, Installation, install, reasons_for_none
from cluster.jobs import EXAMPLE, Jobs, Resource
from cluster.replicas import Stage
from testbed import requirements
from testbed.control_plane import ControlPlane


@pytest.fixture(scope="session")
def installation(request: pytest.FixtureRequest) -> Iterator[Installation]:
    if reasons := reasons_for_none():
        pytest.skip(" ".join(reasons))
    with install() as installed:
        yield installed
        if installed.cluster is None:
            return
        if request.session.testsfailed:
            print(installed.cluster.diagnose(), file=sys.stderr)
        _rights_are_exact(installed, installed.cluster.audit(), request.session.items)


def _rights_are_exact(
    installed: Installation, audit: list[Resource], ran: list[pytest.Item]
) -> None:
    """Nothing that the operator does is refused, and in all tests together it does all it may."""
    account = rights.account_in(rights.NAMESPACE)
    assert list(rights.refused(audit, account)) == []
    files = {item.path.name for item in ran}
    if files >= {file.name for file in Path(__file__).parent.glob("test_*.py")}:
        assert rights.granted(installed.kubectl) - rights.used(audit, account) == set()


@pytest.fixture(scope="session")
def jobs(installation: Installation) -> Jobs:
    return Jobs(kubectl=installation.kubectl, namespace=NAMESPACE)


@pytest.fixture(scope="session")
def first_job(jobs: Jobs) -> Resource:
    """The status of the example, applied unchanged and run to its end."""
    jobs.run("apply", "-f", str(EXAMPLE))
    return jobs.wait_for_end("first-job")


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    """Without nodes: what pods come to is played."""
    if reasons := requirements.missing():
        pytest.skip(" ".join(reasons))
    with ControlPlane.up() as up:
        replicas.install(up, REPOSITORY)
        yield up


@pytest.fixture
def stage(plane: ControlPlane, tmp_path: Path) -> Iterator[Stage]:
    """Two replicas, one of which leads, and an empty namespace."""
    namespace = f"team-{secrets.token_hex(3)}"
    plane.kubectl("create", "namespace", namespace)
    with Stage(plane, namespace, tmp_path).with_replicas() as stage:
        yield stage
    assert {"leases", "jobs", "finetunejobs"} <= {write.resource for write in stage.audit}
    assert find_strangers(stage.audit) == []
