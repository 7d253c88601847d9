# SPDX-License-Identifier: Apache-2.0
"""What a status contains becomes an argument of kubectl, or a command to paste: it is never an
option, and never another command. kubectl is a fake: a script that notes its arguments.
"""

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from finetune_cli.cluster.command_line import logs, results
from finetune_cli.cluster.kubectl import JOBS, Kubectl
from finetune_cli.terminal.exits import Refused

KUBECTL = """\
#!/bin/sh
printf '%s\\n' "$@" ---- >> "$(dirname "$0")/words"
case "$*" in
  *"get pods"*) echo '{"items": []}' ;;
  *"get finetunejobs"*) cat "$(dirname "$0")/job.json" ;;
esac
"""

NAMES = (
    "--server=https://elsewhere",
    "-s=https://elsewhere",
    "--kubeconfig=/tmp/planted",
    "-",
    "a,b) or x in (c",
    "balloon-1;touch planted",
    "Balloon",
    "a b",
    "",
    "a\nb",
    "\u0661",
    "a" * 300,
)


class World:
    """A finished job with this status."""

    def __init__(self, folder: Path, **status: Any) -> None:
        self.folder = folder
        program = folder / "kubectl"
        program.write_text(KUBECTL)
        program.chmod(0o755)
        job = {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": "balloon", "uid": "1"},
            "status": {"phase": "Succeeded", "artifact": {"uri": "s3://a/b"}, **status},
        }
        (folder / "job.json").write_text(json.dumps(job))
        self.kubectl = Kubectl([], str(program))

    def options(self, **given: Any) -> argparse.Namespace:
        known = {"name": "balloon", "tail": -1, "follow": False, "download": self.folder / "new"}
        return argparse.Namespace(**{**known, **given})

    @property
    def words(self) -> list[str]:
        return (self.folder / "words").read_text().split("\n")


def an_attempt(name: str) -> dict[str, Any]:
    return {"number": 1, "name": name, "result": "Succeeded", "startTime": "2026-05-04T12:00:00Z"}


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_an_attempt_is_no_option_of_kubectl(name: str, tmp_path: Path) -> None:
    world = World(tmp_path, attempts=[an_attempt(name)])

    with pytest.raises(Refused, match="no batch Job left"):
        results(world.kubectl, world.options())
    with pytest.raises(Refused, match="no pods left"):
        logs(world.kubectl, world.options())

    get_job = ["get", JOBS, "balloon", "-o", "json", "----"]
    assert world.words == [*get_job, *get_job, ""]


def test_names_that_jobs_have_are_used(tmp_path: Path) -> None:
    world = World(tmp_path, attempts=[an_attempt("--as=admin"), an_attempt("balloon.v2-2")])

    with pytest.raises(Refused, match="no pods left"):
        logs(world.kubectl, world.options())

    assert "batch.kubernetes.io/job-name in (balloon.v2-2)" in world.words


@pytest.mark.parametrize(
    "uri", ["s3://a/b; touch planted", "$(touch planted)", "`x`", "'; x; '", "-h", "a\nb", "a b"]
)
def test_a_command_to_paste_has_the_location_as_one_word(uri: str, tmp_path: Path) -> None:
    world = World(tmp_path, artifact={"uri": uri})

    with pytest.raises(Refused) as refused:
        results(world.kubectl, world.options())

    command = str(refused.value).partition("credentials: ")[2]
    expected = ["finetune", "download", "--", uri, str(tmp_path / "new")]
    assert shlex.split(command) == expected
