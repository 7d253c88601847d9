# SPDX-License-Identifier: Apache-2.0
"""The release in a real cluster: upgraded, rolled back and uninstalled while a job trains."""

import json
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml

from chart import releases
from cluster import rights
from cluster.installation import CHART, DEPLOYMENT, RELEASE, REPOSITORY, Installation
from cluster.jobs import Jobs, Resource, a_job, a_short_job
from cluster.replica import is_served
from cluster.replicas import wait_until

pytestmark = pytest.mark.cluster

COLUMN = "New in this version"
SHORT = ("as it comes", "some namespaces", "a results page")
"""Ways to install that `make test` covers: each has kinds that the others do not have."""


@pytest.fixture(scope="module")
def next_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A later version of the chart, with a changed CRD."""
    later = tmp_path_factory.mktemp("chart") / "finetune-operator"
    shutil.copytree(CHART, later)
    about = yaml.safe_load((later / "Chart.yaml").read_text())
    (later / "Chart.yaml").write_text(yaml.safe_dump(about | {"version": "99.0.0"}))
    definition = later / "files" / "crds" / "finetunejobs.yaml"
    text = definition.read_text()
    (line,) = [line for line in text.splitlines() if "{name: Phase," in line]
    definition.write_text(text.replace(line, f"{line}\n{line.replace('Phase', COLUMN, 1)}"))
    return later


@pytest.fixture(scope="module")
def lived_through(installation: Installation, jobs: Jobs, next_version: Path) -> Resource:
    """The observations after each step, while one job trains."""
    name = jobs.apply(a_short_job("lives-through", steps=70))
    jobs.wait_for_step(name, 3)

    def look() -> Resource:
        deployment = json.loads(installation.kubectl("get", *DEPLOYMENT, "-o", "json"))
        return {"chart": deployment["metadata"]["labels"]["helm.sh/chart"], **look_at_rest()}

    def look_at_rest() -> Resource:
        columns = installation.kubectl("get", "crd", "finetunejobs.finetune.dev", "-o", "yaml")
        return {"pod": jobs.pods(name)[0]["metadata"]["uid"], "is_new": COLUMN in columns}

    installed = look()
    options = ("--wait", "--timeout=2m")
    installation.helm("upgrade", *RELEASE, str(next_version), *options)
    upgraded = look()
    installation.helm("rollback", *RELEASE, *options)
    rolled_back = look()
    installation.uninstall_release()
    left = installation.kubectl("get", "-n", "finetune-system", "all,lease,pdb", "-o", "name")
    rights = installation.kubectl("get", "clusterroles,clusterrolebindings", "-o", "name")
    uninstalled = look_at_rest() | {"left": left.split(), "rights": rights, "job": jobs.get(name)}
    installation.install_release()
    return {
        "installed": installed,
        "upgraded": upgraded,
        "rolled back": rolled_back,
        "uninstalled": uninstalled,
        "end": jobs.wait_for_end(name),
    }


def test_an_upgrade_replaces_operator_and_definitions(lived_through: Resource) -> None:
    assert not lived_through["installed"]["is_new"]
    assert lived_through["upgraded"]["chart"] == "finetune-operator-99.0.0"
    assert lived_through["upgraded"]["is_new"]


def test_a_rollback_restores_operator_and_definitions(lived_through: Resource) -> None:
    assert lived_through["rolled back"] == lived_through["installed"]


def test_uninstalling_keeps_only_definitions_and_jobs(lived_through: Resource) -> None:
    uninstalled = lived_through["uninstalled"]

    # The Lease belongs to no release: the operator created it.
    assert uninstalled["left"] == ["lease.coordination.k8s.io/finetune-operator"]
    assert "finetune-operator" not in uninstalled["rights"]
    assert uninstalled["job"]["kind"] == "FineTuneJob"


def test_a_job_keeps_training_during_upgrade_rollback_and_uninstall(
    lived_through: Resource,
) -> None:
    pods = {seen["pod"] for step, seen in lived_through.items() if step != "end"}
    status = lived_through["end"]

    assert status["phase"] == "Succeeded", status
    assert len(pods) == len(status["attempts"]) == 1
    assert status["progress"]["step"] == 70


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(settings, id=way, marks=() if way in SHORT else pytest.mark.long)
        for way, settings in releases.WAYS.items()
    ],
)
def test_the_api_server_accepts_every_documented_installation(
    installation: Installation, teams: None, settings: tuple[str, ...]
) -> None:
    manifests = releases.text(*settings)

    checked = installation.kubectl(
        *("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict"),
        *("-f", "-"),
        input=manifests,
    )

    assert checked.count("\n") == len(releases.render(*settings).manifests)


def test_namespace_editors_and_viewers_get_the_same_rights_on_jobs(
    installation: Installation, teams: None
) -> None:
    rendered = releases.render(*releases.WAYS["rights for users"]).of("ClusterRole")
    roles = [it for it in rendered if it["metadata"]["name"].endswith(("-edit", "-view"))]
    for role in roles:
        installation.kubectl("create", "-f", "-", input=json.dumps(role))
    for user in ("edit", "view"):
        which = (f"--clusterrole={user}", f"--user={user}")
        installation.kubectl("create", "rolebinding", user, "-n", "team-a", *which)

    def may(user: str, verb: str) -> bool:
        what = {"group": "finetune.dev", "resource": "finetunejobs", "verb": verb}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "resourceAttributes": what | {"namespace": "team-a"}},
        }
        answer = installation.kubectl("create", "-f", "-", "-o", "json", input=json.dumps(review))
        return bool(json.loads(answer)["status"]["allowed"])

    wait_until(lambda: may("edit", "create") and may("view", "watch"), "Kubernetes adds them")

    assert may("edit", "get")
    assert not may("view", "create")
    assert not may("view", "delete")
    for role in roles:
        installation.kubectl("delete", "clusterrole", role["metadata"]["name"])


@pytest.fixture(scope="module")
def teams(installation: Installation) -> Iterator[None]:
    names = ("team-a", "team-b")
    for name in names:
        installation.kubectl("create", "namespace", name)
    yield
    installation.kubectl("delete", "namespace", *names, "--wait=false")


def test_the_plain_manifests_install_the_same_objects(installation: Installation) -> None:
    for folder in ("crds", "deploy"):
        checked = installation.kubectl(
            *("apply", "--server-side", "--force-conflicts", "--dry-run=server"),
            *("-k", str(REPOSITORY / folder)),
        )

        assert "serverside-applied" in checked


@pytest.fixture
def results_page(installation: Installation) -> Iterator[str]:
    """Its address, in a release that has one."""
    installation.install_release("--set", "resultsPage.enabled=true")
    if (url := installation.url_of("finetune-results-page")) is None:
        pytest.skip("Its Service is reached directly in the tests' own cluster only.")
    # The route to its pods may come after them.
    wait_until(lambda: is_served(f"{url}/healthz"), "it is served")
    yield url
    installation.install_release()


def test_the_results_page_reads_with_the_token_of_its_user(jobs: Jobs, results_page: str) -> None:
    job = a_job("shown")
    job["spec"]["suspend"] = True
    name = jobs.apply(job)
    jobs.run("create", "role", "looker", "--verb=list", "--resource=finetunejobs.finetune.dev")
    who = f"--serviceaccount={jobs.namespace}:default"
    jobs.run("create", "rolebinding", "looker", "--role=looker", who)
    token = jobs.run("create", "token", "default").strip()
    listed = f"{results_page}/?namespace={jobs.namespace}"

    assert f"namespace={jobs.namespace}&amp;name={name}" in _read(listed, token)
    with pytest.raises(HTTPError, match="403"):
        _read(f"{listed}&name={name}", token)
    with pytest.raises(HTTPError, match="401"):
        _read(listed, "wrong")
    jobs.run("delete", "ftj", name, "--wait=false")


def _read(url: str, token: str) -> str:
    request = Request(url, headers={"Authorization": f"Bearer {token}"})
    with urlopen(request, timeout=10) as answer:
        page: str = answer.read().decode()
    return page


@pytest.fixture
def of_one_team(installation: Installation) -> Iterator[Jobs]:
    """The jobs of a namespace with the only operator, which may read nothing else."""
    team = f"team-{secrets.token_hex(3)}"
    installation.uninstall_release()
    installation.make_namespace(team)
    release = (RELEASE[0], "--namespace", team)
    installation.helm(
        *("install", *release, str(CHART), "--wait", "--timeout=2m"),
        *("--set", f"watchNamespaces={{{team}}}", "--set", "crds.install=false"),
    )
    yield Jobs(kubectl=installation.kubectl, namespace=team)
    installation.helm("uninstall", *release, "--wait")
    installation.kubectl("delete", "namespace", team, "--wait=false")
    installation.install_release()


@pytest.mark.long
def test_an_operator_with_rights_in_one_namespace_runs_its_jobs(
    installation: Installation, jobs: Jobs, of_one_team: Jobs
) -> None:
    elsewhere = jobs.apply(a_short_job("of-nobody", steps=1))
    example = of_one_team.apply(a_job("of-one-team"))

    of_one_team.wait_for_step(example, 1)
    status = of_one_team.wait_for_end(example)

    assert status["phase"] == "Succeeded", status
    assert set(jobs.status(elsewhere)) <= {"observedGeneration"}
    jobs.run("delete", "ftj", elsewhere)
    if installation.cluster is not None:
        account = rights.account_in(of_one_team.namespace)
        assert list(rights.refused(installation.cluster.audit(), account)) == []
