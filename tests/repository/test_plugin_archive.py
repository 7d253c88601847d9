# SPDX-License-Identifier: Apache-2.0
"""`kubectl finetune` as one file: a bare python3 runs it, without a venv or site-packages."""

import io
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from repository import plugin_archive, plugin_main
from repository.publication import repository_version
from repository.tracked import ROOT

VERSION = repository_version()
EXAMPLES = ROOT / "configs" / "examples"
MODULES = ("torch", "obstore", "huggingface_hub", "yaml", "finetune_cli")

# A fake: it responds to every `kubectl get` with one job.
FAKE_KUBECTL = """\
#!/bin/sh
cat <<'EOF'
{job}
EOF
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that krew unpacks, with the link that its user may create."""
    folder = tmp_path_factory.mktemp("krew")
    with tarfile.open(fileobj=io.BytesIO(plugin_archive.archive(VERSION))) as archive:
        archive.extractall(folder, filter="data")
    (folder / "finetune").symlink_to(plugin_archive.PROGRAM)
    (folder / "kubectl_complete-finetune").symlink_to(plugin_archive.PROGRAM)
    return folder


def run(
    folder: Path, program: str, *words: str | Path, path: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Runs the program without installed packages, as an arbitrary user."""
    # Not the venv's: that one would find its packages.
    python = Path(sys.base_prefix) / "bin" / "python3"
    return subprocess.run(
        [python, "-I", "-S", folder / program, *words],
        env={"PATH": str(path or "/nonexistent"), "HOME": "/nonexistent"},
        cwd="/",
        capture_output=True,
        text=True,
    )


def test_the_python_of_these_tests_has_none_of_our_packages(tmp_path: Path) -> None:
    script = tmp_path / "look"
    script.write_text(
        "from importlib.util import find_spec\n"
        f"print([name for name in {MODULES} if find_spec(name)])"
    )

    assert run(tmp_path, "look").stdout == "[]\n"


@pytest.mark.parametrize(
    ("program", "name"), [("kubectl-finetune", "kubectl finetune"), ("finetune", "finetune")]
)
def test_the_archive_prints_the_version_of_the_release(
    unpacked: Path, program: str, name: str
) -> None:
    done = run(unpacked, program, "--version")

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{name} {VERSION}\n", "")


@pytest.mark.parametrize("words", [(), ("run",), ("plan",), ("results",), ("plot",)], ids="".join)
def test_the_archive_shows_the_help_of_every_kind_of_command(
    unpacked: Path, words: tuple[str, ...]
) -> None:
    done = run(unpacked, "kubectl-finetune", *words, "--help")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: kubectl finetune")


def test_the_archive_is_executable(unpacked: Path) -> None:
    program = unpacked / "kubectl-finetune"
    done = subprocess.run([program, "--version"], capture_output=True, text=True)

    assert program.stat().st_mode & 0o111 == 0o111
    assert done.stdout == f"kubectl finetune {VERSION}\n"


def test_the_archive_accepts_every_example(unpacked: Path) -> None:
    done = run(unpacked, "finetune", "validate", EXAMPLES)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 mistakes" in done.stdout


def test_the_archive_suggests_other_tools_keys_like_the_installed_package(
    unpacked: Path, tmp_path: Path
) -> None:
    """These words are files in the archive."""
    job = (EXAMPLES / "first-job.yaml").read_text()
    wrong = tmp_path / "job.yaml"
    wrong.write_text(job.replace("learning_rate:", "lr:"))
    installed = [str(Path(sys.executable).with_name("finetune")), "validate", str(wrong)]

    done = run(unpacked, "finetune", "validate", wrong)

    assert done.returncode == 64
    assert "learning_rate" in done.stdout
    said = subprocess.run(installed, capture_output=True, text=True).stdout
    assert done.stdout == said


def test_a_command_that_needs_more_packages_names_them_and_how_to_install_them(
    unpacked: Path,
) -> None:
    done = run(unpacked, "kubectl-finetune", "plan", EXAMPLES / "first-job.yaml")

    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.endswith(
        "kubectl-finetune as one file does not contain the package obstore, which this command "
        "needs: install it with its packages, pip install finetune-cli\n"
    )


def test_the_archive_plans_a_model_in_a_directory(unpacked: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 1000}
    config |= {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    config |= {"num_attention_heads": 4, "num_key_value_heads": 4, "tie_word_embeddings": True}
    (model / "config.json").write_text(json.dumps(config))
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n' * 8)
    job = tmp_path / "job.yaml"
    job.write_text(
        f"""\
apiVersion: finetune.dev/v1alpha1
kind: FineTuneJob
metadata: {{name: planned}}
spec:
  output: {{uri: s3://models/planned}}
  config: {{model_name_or_path: {model}, dataset_name: {tmp_path}/rows.jsonl, max_steps: 3}}
"""
    )

    done = run(unpacked, "kubectl-finetune", "plan", job)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "memory" in done.stdout


def test_the_archive_plots_and_compares_jobs_that_kubectl_reads(
    unpacked: Path, tmp_path: Path
) -> None:
    history = [{"step": step, "loss": 3.0 - step / 10} for step in range(1, 11)]
    job = {
        "metadata": {"name": "fake"},
        "spec": {"config": {"max_steps": 10}},
        "status": {"phase": "Succeeded", "lossHistory": history},
    }
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(FAKE_KUBECTL.format(job=json.dumps(job)))
    kubectl.chmod(0o755)
    (tmp_path / "cat").symlink_to(shutil.which("cat") or "/bin/cat")

    for words in (("plot", "fake"), ("diff", "fake", "fake")):
        done = run(unpacked, "kubectl-finetune", *words, path=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "fake" in done.stdout


def test_the_archive_contains_kubectls_completion(unpacked: Path) -> None:
    done = run(unpacked, "kubectl_complete-finetune", "wat")

    assert done.stdout == "watch\n:4\n"


def test_a_python_that_is_too_old_is_reported_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 6))
    monkeypatch.setattr(sys, "argv", ["/home/a/.krew/bin/kubectl-finetune"])

    with pytest.raises(SystemExit) as ended:
        plugin_main.main()

    assert str(ended.value).startswith("kubectl-finetune needs Python 3.11 or newer; ")
    assert str(ended.value).endswith(" is Python 3.9")


def test_the_archive_is_small_pure_python_and_reproducible() -> None:
    content = plugin_archive.program(VERSION)

    assert content == plugin_archive.program(VERSION)
    assert len(content) < 2**20
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
    assert [name for name in names if name.endswith((".so", ".pyd", ".pyc"))] == []
    assert not any(name.startswith("finetune_trainer/ranks/") for name in names)
    licences = {name.split("/")[1].rpartition("-")[0] for name in names if "licenses/" in name}
    assert licences == {"pyyaml", "tqdm", "plotext"}
    assert {"LICENSE", "NOTICE"} <= set(names)
