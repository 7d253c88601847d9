# SPDX-License-Identifier: Apache-2.0
"""Parallel targets: each line names its target, and a failure is visible among them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import side_by_side

MAKE = """\
#!/bin/sh
echo "this is $2"
echo "and it ends" >&2
test "$2" != broken
"""


def run(folder: Path, *targets: str) -> "subprocess.CompletedProcess[str]":
    make = folder / "make"
    make.write_text(MAKE)
    make.chmod(0o755)
    command = [sys.executable, side_by_side.__file__, *targets]
    return subprocess.run(
        command, env=os.environ | {"MAKE": str(make)}, capture_output=True, text=True
    )


def test_each_line_starts_with_its_target(tmp_path: Path) -> None:
    done = run(tmp_path, "one", "three")

    lines = done.stdout.splitlines()
    *said, last = [line for line in lines if line.startswith("one")]
    assert said == ["one   | this is one", "one   | and it ends"]
    assert last.startswith("one   | passed after 0 min ")
    assert "three | this is three" in lines
    assert done.returncode == 0


@pytest.mark.parametrize("targets", [("broken", "one"), ("one", "broken")])
def test_a_failed_target_is_named_last_and_the_others_run_to_the_end(
    tmp_path: Path, targets: tuple[str, ...]
) -> None:
    done = run(tmp_path, *targets)

    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "Failed: broken"
    assert "one    | and it ends" in done.stdout
