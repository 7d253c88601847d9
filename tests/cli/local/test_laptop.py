# SPDX-License-Identifier: Apache-2.0
"""`./command-line` without the extra `train` works on a laptop."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from finetune_cli.local.run import NOT_INSTALLED

ROOT = Path(__file__).parents[3]
JOB = ROOT / "configs" / "examples" / "first-job.yaml"
PROJECT = tomllib.loads((ROOT / "trainer-image" / "pyproject.toml").read_text())["project"]


def finetune(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command without the packages of the extra."""
    extra = PROJECT["optional-dependencies"]["train"]
    absent = [re.split("[=><]", it)[0].replace("-", "_") for it in extra]
    assert {"torch", "trl", "transformers"} <= set(absent)
    program = (
        f"import sys; sys.modules |= dict.fromkeys({absent})\n"
        "from finetune_cli.local.command_line import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_a_job_is_validated_and_planned_without_the_training_libraries(command: str) -> None:
    done = finetune(command, str(JOB))

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_results_are_downloaded_without_the_training_libraries(tmp_path: Path) -> None:
    done = finetune("download", str(tmp_path), str(tmp_path / "here"))

    assert done.stderr == f"{tmp_path} has no complete run\n"


def test_run_lists_the_missing_packages() -> None:
    done = finetune("run", str(JOB))

    assert (done.returncode, done.stderr) == (64, f"{NOT_INSTALLED}\n")
