# SPDX-License-Identifier: Apache-2.0
"""The workflows of .github: they call the Makefile, and run only pinned actions."""

import os
import re
import subprocess
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from repository.publication import Publication
from repository.tracked import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)


def steps_of(workflow: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_an_action_is_pinned_by_its_commit_and_names_its_version(workflow: Path) -> None:
    used = re.findall(r"uses: (.*)", workflow.read_text())

    assert used
    pinned = re.compile(r"[\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert [each for each in used if not pinned.fullmatch(each)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_calls_targets_that_exist(workflow: Path) -> None:
    commands = " ".join(step["run"] for step in steps_of(workflow) if "run" in step)
    called = re.findall(r"\bmake ([a-z-]+)", commands)

    assert called or ".ci/run" in commands
    assert set(called) <= set(TARGETS)


def test_a_release_receives_each_variable_that_it_requires() -> None:
    (workflow,) = (it for it in WORKFLOWS if it.stem == "release")
    (step,) = (it for it in steps_of(workflow) if "make release" in it.get("run", ""))
    given = dict(re.findall(r'(\w+)="([^"]*)"', step["run"]))

    assert given.keys() == {field.name.upper() for field in fields(Publication)}
    assert given["VERSION"] == "${GITHUB_REF_NAME#v}"
    del given["VERSION"]
    assert {f"${name}" for name in step["env"]} == set(given.values())


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_can_write_nothing_but_a_draft_release_and_the_site(workflow: Path) -> None:
    declared = yaml.safe_load(workflow.read_text())
    rights = [job["permissions"] for job in declared["jobs"].values() if "permissions" in job]

    assert declared["permissions"] == {"contents": "read"}
    assert rights == ([{"contents": "write"}] if workflow.stem in ("docs", "release") else [])
    assert all(
        step["with"]["persist-credentials"] is False
        for step in steps_of(workflow)
        if step.get("uses", "").startswith("actions/checkout@")
    )


def test_the_site_replaces_the_branch_that_is_served(tmp_path: Path) -> None:
    """The workflow's own commands, with a repository on this machine and a site of one page."""
    (workflow,) = (it for it in WORKFLOWS if it.stem == "docs")
    (step,) = (it for it in steps_of(workflow) if "gh-pages" in it.get("run", ""))
    remote = tmp_path / "remote"
    subprocess.run(["git", "init", "--quiet", "--bare", remote], check=True)
    environment = os.environ | {"REMOTE": str(remote), "TOKEN": "secret", "GITHUB_SHA": "a1b2c3"}

    for number in range(2):
        site = tmp_path / f"site-{number}"
        site.mkdir()
        (site / f"page-{number}.html").write_text("A page")
        subprocess.run(["bash", "-e", "-c", step["run"]], cwd=site, env=environment, check=True)

    listed = subprocess.run(
        ["git", "ls-tree", "--name-only", "gh-pages"],
        cwd=remote,
        capture_output=True,
        text=True,
        check=True,
    )
    assert listed.stdout.split() == [".nojekyll", "page-1.html"]
    assert step["working-directory"] == "build/docs/site"
    assert step["env"].keys() == {"REMOTE", "TOKEN"}


def test_updates_wait_as_long_as_the_projects_policy_requires() -> None:
    policy = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["exclude-newer"]
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]

    assert {f"{update['cooldown']['default-days']} days" for update in updates} == {policy}


def test_every_project_receives_updates() -> None:
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
    (python,) = (update for update in updates if update["package-ecosystem"] == "pip")
    projects = {f"/{file.parent.name}" for file in ROOT.glob("*/pyproject.toml")}

    assert set(python["directories"]) == projects
