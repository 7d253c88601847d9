# SPDX-License-Identifier: Apache-2.0
"""One installation for all cluster tests, and the first job's run that several of them examine."""

import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import replicas
from cluster.faulty_api import find_strangers
from cluster.hostile_tenant import World, a_world
from cluster.installation import (
    NAMESPACE,
    REPOSITORY,
    Installation,
    install,
    reasons_for_none,
    wait_for_garbage_collector,
)
from cluster.jobs import EXAMPLE, Jobs, Kubectl, Resource
from cluster.replicas import Stage
from cluster.stolen_token import kubectl_with, stolen_token
from testbed import requirements
from testbed.control_plane import ControlPlane

BESIDE_THE_FIRST_JOB = frozenset(
    f"test_{name}.py"
    for name in ("api_versions", "explain", "images", "progress_tokens", "schedules")
)
"""They wait or call kubectl, do not affect the operator, and train almost nothing."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    """The first job trains while others are tested, and finishes before anything is broken.
    Assertions about all other tests come after them.
    """
    if item.path.name in BESIDE_THE_FIRST_JOB:
        return 0
    return {"test_first_job.py": 1, "test_rights.py": 3}.get(item.path.name, 2)


@pytest.fixture(scope="session")
def installation(request: pytest.FixtureRequest) -> Iterator[Installation]:
    if reasons := reasons_for_none():
        pytest.skip(" ".join(reasons))
    with install() as installed:
        if any("first_job" in getattr(it, "fixturenames", ()) for it in request.session.items):
            _jobs_of(installed).run("apply", "-f", str(EXAMPLE))
        wait_for_garbage_collector(installed.kubectl)
        yield installed
        if request.session.testsfailed and installed.cluster is not None:
            print(installed.cluster.diagnose(), file=sys.stderr)


@pytest.fixture(scope="session")
def jobs(installation: Installation) -> Jobs:
    return _jobs_of(installation)


def _jobs_of(installation: Installation) -> Jobs:
    return Jobs(kubectl=installation.kubectl, namespace=NAMESPACE)


@pytest.fixture(scope="session")
def first_job(jobs: Jobs) -> Resource:
    """The status of the example, applied unchanged by `installation` and run to its end."""
    return jobs.wait_for_end("first-job")


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    """Without nodes: the results of pods are simulated."""
    if reasons := requirements.missing():
        pytest.skip(" ".join(reasons))
    with ControlPlane.up() as up:
        replicas.install(up, REPOSITORY)
        yield up


@pytest.fixture
def team(plane: ControlPlane) -> str:
    """An empty namespace."""
    namespace = f"team-{secrets.token_hex(3)}"
    plane.kubectl("create", "namespace", namespace)
    return namespace


@pytest.fixture(scope="module")
def the_world(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two replicas next to a hostile tenant, for all attacks of a module."""
    with a_world(plane, tmp_path_factory.mktemp("hostile")) as world:
        yield world


@pytest.fixture
def world(the_world: World) -> Iterator[World]:
    """The same; the invariants are checked afterwards."""
    lease, failures = the_world.lease(), the_world.failures()
    try:
        yield the_world
        the_world.require_all_is_bounded()
        assert the_world.lease() == lease
        assert the_world.failures() == failures
    finally:
        the_world.tenant.clear()


@pytest.fixture
def stage(plane: ControlPlane, team: str, tmp_path: Path) -> Iterator[Stage]:
    """Two replicas, one of which leads, and an empty namespace."""
    with Stage(plane, team, tmp_path).with_replicas() as stage:
        yield stage
    assert {"leases", "jobs", "finetunejobs"} <= {write.resource for write in stage.audit}
    assert find_strangers(stage.audit) == []


@pytest.fixture(scope="session")
def stolen(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A kubeconfig with the token of the operator, whose account the chart's policy restricts."""
    with stolen_token(plane, tmp_path_factory.mktemp("stolen")) as kubeconfig:
        yield kubeconfig


@pytest.fixture
def as_operator(stolen: Path) -> Kubectl:
    return kubectl_with(stolen)
