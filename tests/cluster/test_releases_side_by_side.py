# SPDX-License-Identifier: Apache-2.0
"""A platform that is too large for one operator has several, which watch separate namespaces."""

import secrets
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from cluster import releases_side_by_side
from cluster.releases_side_by_side import Release
from cluster.replicas import Stage, finish, is_begun, wait_until
from testbed import requirements
from testbed.control_plane import ControlPlane

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

WATCHED = {"platform-a": ("team-a", "team-b"), "platform-b": ("team-c",)}
OF_NOBODY = "team-d"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/finetune-operator"


@dataclass(frozen=True, kw_only=True)
class Platform:
    plane: ControlPlane
    releases: dict[str, Release]
    teams: dict[str, Stage]
    """Each namespace with jobs."""

    def holder(self, release: str) -> str:
        lease = next(iter(self.teams.values())).ask("GET", LEASE.format(release)) or {}
        return str(lease.get("spec", {}).get("holderIdentity", ""))

    def written_by(self, release: str) -> dict[str, set[str]]:
        """Namespaces, each with the kinds that this release's account has written there."""
        found: dict[str, set[str]] = defaultdict(set)
        for event in self.plane.audit():
            target = event["objectRef"]
            if event["user"]["username"] == self.releases[release].account:
                found[target.get("namespace", "")].add(target["resource"])
        return found

    def refused_to(self, release: str) -> list[str]:
        """Writes for which it has no permission."""
        account = self.releases[release].account
        return [
            f"{event['verb']} {event['requestURI']}"
            for event in self.plane.audit()
            if event["user"]["username"] == account and event["responseStatus"]["code"] == 403
        ]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """On a separate control plane with an audit log of all writes."""
    if reasons := requirements.missing():
        pytest.skip(" ".join(reasons))
    folder = tmp_path_factory.mktemp("releases")
    teams = [team for watched in WATCHED.values() for team in watched] + [OF_NOBODY]
    with ControlPlane.up(audited=True) as plane:
        for team in teams:
            plane.kubectl("create", "namespace", team)
        with releases_side_by_side.installed(plane, folder, WATCHED) as found:
            yield Platform(
                plane=plane,
                releases={release.namespace: release for release in found},
                teams={team: Stage(plane, team, folder) for team in teams},
            )


def a_name() -> str:
    return f"job-{secrets.token_hex(3)}"


def test_each_job_is_run_only_by_the_release_of_its_namespace(
    platform: Platform,
) -> None:
    name = a_name()
    for team in platform.teams.values():
        team.apply(name)

    for release, watched in WATCHED.items():
        for team in watched:
            finish(platform.teams[team], name)
        written = platform.written_by(release)
        assert {it for it, kinds in written.items() if "jobs" in kinds} == set(watched)
        # In addition there are its own counters, and reviews of the tokens in reports.
        assert written.keys() <= {*watched, release, ""}
        assert written.get("", set()) <= {"tokenreviews"}
        assert platform.refused_to(release) == []


def test_a_job_in_an_unwatched_namespace_is_ignored(platform: Platform) -> None:
    name = platform.teams[OF_NOBODY].apply(a_name())

    for team in ("team-a", "team-c"):
        finish(platform.teams[team], platform.teams[team].apply(name))

    assert set(platform.teams[OF_NOBODY].status(name)) <= {"observedGeneration"}
    assert platform.teams[OF_NOBODY].training_jobs() == {}


def test_each_release_has_its_own_leader(platform: Platform) -> None:
    for release in WATCHED:
        wait_until(lambda it=release: platform.holder(it) != "", "somebody leads")

    assert [platform.holder(it).split("_")[0] for it in WATCHED] == list(WATCHED)


@pytest.mark.parametrize(
    ("dead", "alive"),
    [
        ("platform-a", "platform-b"),
        pytest.param("platform-b", "platform-a", marks=pytest.mark.long),
    ],
)
def test_while_one_release_is_down_only_its_own_jobs_wait(
    platform: Platform, dead: str, alive: str
) -> None:
    waiting, going_on = (platform.teams[WATCHED[it][0]] for it in (dead, alive))
    platform.releases[dead].operator.kill()
    name = waiting.apply(a_name())

    finish(going_on, going_on.apply(name))

    assert waiting.phase(name) == ""
    platform.releases[dead].operator.start()
    wait_until(lambda: is_begun(waiting, name), "it is taken up")
    finish(waiting, name)
