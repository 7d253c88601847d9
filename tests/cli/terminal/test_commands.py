# SPDX-License-Identifier: Apache-2.0
"""`finetune` and `kubectl finetune`: one version, and a start that imports only what is needed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from repository.tracked import ROOT

FINETUNE = "from finetune_cli.local.command_line import console; console()"
PLUGIN = "from finetune_cli.cluster.command_line import main; main()"
JOB = str(ROOT / "configs" / "examples" / "first-job.yaml")

HEAVY = ("torch", "trl", "transformers", "obstore", "huggingface_hub")
OF_DISPLAYS = ("plotext", "tqdm")


def start(
    program: str, *words: str, absent: tuple[str, ...] = (), path: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Starts a command without these modules, with the packages of `path` first."""
    script = f"import sys; sys.modules |= dict.fromkeys({absent}); {program}"
    places = [str(path)] if path else []
    places += filter(None, [os.environ.get("PYTHONPATH")])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
    return subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, env=environment
    )


@pytest.mark.parametrize(
    ("program", "name"), [(FINETUNE, "finetune"), (PLUGIN, "kubectl finetune")]
)
def test_both_commands_print_the_package_version(program: str, name: str, tmp_path: Path) -> None:
    metadata = tmp_path / "finetune_cli-7.8.9.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: finetune-cli\nVersion: 7.8.9\n")

    done = start(program, "--version", path=tmp_path)

    assert (done.returncode, done.stdout) == (0, f"{name} 7.8.9\n")


@pytest.mark.parametrize(
    ("program", "words"),
    [
        pytest.param(FINETUNE, ("--help",), id="finetune --help"),
        pytest.param(FINETUNE, ("--version",), id="finetune --version"),
        pytest.param(FINETUNE, ("validate", JOB), id="finetune validate"),
        pytest.param(PLUGIN, ("--help",), id="kubectl finetune --help"),
        pytest.param(PLUGIN, ("run", "--help"), id="kubectl finetune run --help"),
    ],
)
def test_each_command_starts_without_the_packages_that_only_others_need(
    program: str, words: tuple[str, ...]
) -> None:
    done = start(program, *words, absent=(*HEAVY, *OF_DISPLAYS))

    assert done.returncode == 0, done.stderr


def test_no_module_of_the_plugin_imports_torch_or_a_store_client() -> None:
    folder = ROOT / "command-line" / "src" / "finetune_cli" / "cluster"
    names = sorted(file.stem for file in folder.glob("*.py") if file.stem != "__init__")
    assert "downloading" in names
    imports = ", ".join(f"finetune_cli.cluster.{name}" for name in names)

    done = start(f"import {imports}", absent=HEAVY)

    assert done.returncode == 0, done.stderr


def test_the_trainer_image_has_everything_a_download_needs(tmp_path: Path) -> None:
    """It installs the trainer's packages, without plotext."""
    program = "import runpy; runpy.run_module('finetune_cli', run_name='__main__')"

    done = start(program, "download", str(tmp_path), "-", absent=OF_DISPLAYS)

    assert done.returncode == 66
    assert done.stderr == f"{tmp_path} has no complete run\n"


def test_plan_of_the_plugin_accepts_all_options_of_the_local_plan() -> None:
    words = ("plan", JOB, "--set", "max_steps=3", "--output", "json")

    plugin, finetune = start(PLUGIN, *words), start(FINETUNE, *words)

    assert plugin.returncode == 0, plugin.stderr
    assert '"steps": 3' in plugin.stdout
    assert plugin.stdout == finetune.stdout


@pytest.mark.parametrize("program", [FINETUNE, PLUGIN])
@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param((), 2, id="no command"),
        pytest.param(("fly",), 2, id="an unknown command"),
        pytest.param(("run", "nowhere.yaml"), 66, id="run of a file that is not there"),
        pytest.param(("plan", "nowhere.yaml"), 66, id="plan of a file that is not there"),
    ],
)
def test_both_commands_use_the_same_exit_codes(
    program: str, words: tuple[str, ...], code: int
) -> None:
    done = start(program, *words)

    assert done.returncode == code
    if code == 66:
        assert done.stderr.endswith("nowhere.yaml cannot be read: No such file or directory\n")


@pytest.mark.parametrize(
    ("program", "words"),
    [(FINETUNE, ()), (FINETUNE, ("download",)), (PLUGIN, ()), (PLUGIN, ("watch",))],
)
def test_every_help_lists_the_exit_codes(program: str, words: tuple[str, ...]) -> None:
    lines = start(program, *words, "--help").stdout.splitlines()

    told = [line.split()[0] for line in lines[lines.index("exit codes:") + 1 :]]
    assert told == ["0", "1", "2", "64", "66", "70", "75", "77", "78", "130", "141", "143"]


@pytest.mark.parametrize(
    ("program", "words"),
    [
        pytest.param(FINETUNE, ["--help"], id="finetune --help"),
        pytest.param(FINETUNE, ["--version"], id="finetune --version"),
        pytest.param(FINETUNE, ["validate", JOB], id="finetune validate"),
        pytest.param(PLUGIN, ["--help"], id="kubectl finetune --help"),
        pytest.param(PLUGIN, ["--version"], id="kubectl finetune --version"),
    ],
)
def test_a_closed_output_pipe_causes_no_traceback(program: str, words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    with os.fdopen(writing, "wb") as unread:
        done = subprocess.run(
            [sys.executable, "-c", program, *words], stdout=unread, stderr=subprocess.PIPE
        )

    assert (done.returncode, done.stderr) == (141, b"")


def test_a_closed_error_pipe_does_not_change_the_result() -> None:
    reading, writing = os.pipe()
    os.close(reading)

    with os.fdopen(writing, "wb") as unread:
        done = subprocess.run(
            [sys.executable, "-c", FINETUNE, "validate", "no-such-file.yaml"],
            stdout=subprocess.PIPE,
            stderr=unread,
        )

    assert done.returncode == 66
    assert done.stdout == b"0 documents checked: 0 mistakes, 0 warnings\n"
