# SPDX-License-Identifier: Apache-2.0
"""The eight minutes of `make test-gpu`, run on a CPU in their small form."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gpu.proof import carry
from gpu.proof.rows import Rows
from testbed import base_model


def prove(place: Path, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, rows and other output."""
    rows = place / "rows.json"
    command = [sys.executable, "-m", "gpu.proof", "--cpu", "--rows", str(rows), *arguments]
    command += ["--tokenizer", str(base_model.folder())]
    paths = [*sys.path, str(Path(__file__).parents[1])]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        timeout=600,
    )
    return done.returncode, json.loads(rows.read_text()), done.stderr


@pytest.mark.slow
def test_every_section_that_runs_on_a_cpu_succeeds(tmp_path: Path) -> None:
    code, rows, errors = prove(tmp_path)

    assert [row for row in rows if "failed" in row or "skipped" in row] == [], errors[-3000:]
    assert code == 0
    speeds = [row for row in rows if row["name"] == "speed"]
    assert [row["trainer"] for row in speeds] == ["ours", "bare TRL"]
    assert all(row["tokens_per_second"] > 0 for row in speeds)
    (attempt,) = (row for row in rows if row["name"] == "attempt")
    assert attempt["verified"]
    assert len(attempt["losses"]) == 6
    assert rows[-1] == {**rows[-1], "name": "done", "failed_sections": []}


@pytest.mark.slow
def test_without_time_left_no_section_starts_and_each_is_a_row(tmp_path: Path) -> None:
    code, rows, _ = prove(tmp_path, "--seconds", "0")

    assert code == 0
    assert all("skipped" in row for row in rows[:-1])
    assert {row["name"] for row in rows} == {"machine", "attention", "speed", "attempt", "done"}


def test_a_failed_section_is_a_row_and_the_next_one_still_runs(tmp_path: Path) -> None:
    rows = Rows(file=tmp_path / "deep" / "rows.json", budget=60)

    def fail() -> None:
        raise ValueError("no kernel image")

    rows.attempt("first", 1, fail)
    rows.attempt("second", 1, lambda: rows.add("second", figure=1))

    written = json.loads(rows.file.read_text())
    assert rows.failed == ["first"]
    assert "ValueError: no kernel image" in written[0]["failed"]
    assert written[2]["figure"] == 1


def test_rows_are_written_to_disk_as_soon_as_they_are_measured(tmp_path: Path) -> None:
    rows = Rows(file=tmp_path / "rows.json", budget=60)

    rows.add("one", figure=1)

    assert json.loads(rows.file.read_text()) == [{"at": 0, "name": "one", "figure": 1}]


def test_the_bundle_has_the_trainers_packages_without_torch() -> None:
    names = carry.packages()

    assert {"trl", "transformers", "peft", "accelerate", "datasets", "obstore"} <= names
    assert not [name for name in names if name == "torch" or name.startswith("nvidia-")]
