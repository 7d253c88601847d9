# SPDX-License-Identifier: Apache-2.0
"""An image in which Triton cannot compile its driver, on a GPU, where TRL's loss needs it."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from finetune_contract.outcome import Category
from finetune_spec.config import read_config
from finetune_trainer.attempt.stages import carry_out
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures import triton_compiler
from finetune_trainer.failures.classification import classify
from finetune_trainer.failures.errors import AttemptFailed, Stage
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.failures.triton_compiler import require_triton_compiler
from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.progress.reporting import Reporter, silent
from finetune_trainer.supervision.context import AttemptContext
from trainer.runs import a_run

REMEDY = "set spec.image to an image with gcc and Python's headers, or unset it"


def an_image(
    folder: Path, *programs: str, has_headers: bool = True
) -> tuple[dict[str, str], dict[str, Any]]:
    """The environment and the header directory of an image with these programs."""
    (folder / "bin").mkdir()
    (folder / "include").mkdir()
    for program in programs:
        (folder / "bin" / program).touch(mode=0o755)
    if has_headers:
        (folder / "include" / "Python.h").touch()
    return {"PATH": str(folder / "bin")}, {"include": folder / "include"}


@pytest.fixture(autouse=True)
def has_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every test machine has it."""
    monkeypatch.setattr(triton_compiler, "find_spec", lambda name: name)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_an_image_with_a_compiler_and_headers_may_train_on_a_gpu(
    tmp_path: Path, compiler: str
) -> None:
    environment, place = an_image(tmp_path, compiler)

    require_triton_compiler(read_config({}), environment, on_gpu=True, **place)


def test_an_image_without_a_compiler_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    # Triton does not try cc.
    environment, place = an_image(tmp_path, "cc")

    with pytest.raises(AttemptFailed) as refused:
        require_triton_compiler(read_config({}), environment, on_gpu=True, **place)

    failure = refused.value.failure
    assert (failure.category, failure.reason) == (Category.USER, "CompilerMissing")
    assert failure.message == (
        "on a GPU TRL computes the loss with a Triton kernel, and Triton compiles its driver "
        "before its first kernel; this trainer image has no C compiler"
    )
    assert failure.remedy == REMEDY


def test_an_image_without_pythons_headers_is_refused_with_the_missing_path(tmp_path: Path) -> None:
    environment, place = an_image(tmp_path, "gcc", has_headers=False)

    with pytest.raises(AttemptFailed, match=f"has no Python.h in {tmp_path}/include$"):
        require_triton_compiler(read_config({}), environment, on_gpu=True, **place)


def test_headers_may_be_in_a_directory_set_by_a_variable(tmp_path: Path) -> None:
    environment, place = an_image(tmp_path, "gcc", has_headers=False)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "Python.h").touch()
    environment["CPATH"] = f"/nowhere:{tmp_path}/elsewhere"

    require_triton_compiler(read_config({}), environment, on_gpu=True, **place)


def test_the_compiler_named_in_the_config_is_checked(tmp_path: Path) -> None:
    environment, place = an_image(tmp_path, "gcc", "icx")

    require_triton_compiler(read_config({"env": {"CC": "icx"}}), environment, on_gpu=True, **place)
    with pytest.raises(AttemptFailed, match=r"no C compiler \(CC is 'tcc'\)"):
        require_triton_compiler(
            read_config({"env": {"CC": "tcc"}}), environment, on_gpu=True, **place
        )


def test_without_a_gpu_no_compiler_is_needed(tmp_path: Path) -> None:
    environment, place = an_image(tmp_path, has_headers=False)

    require_triton_compiler(read_config({}), environment, on_gpu=False, **place)


def test_without_triton_no_compiler_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment, place = an_image(tmp_path, has_headers=False)
    monkeypatch.setattr(triton_compiler, "find_spec", lambda name: None)

    require_triton_compiler(read_config({}), environment, on_gpu=True, **place)


def test_an_attempt_on_a_gpu_ends_before_it_claims_or_fetches_anything(tmp_path: Path) -> None:
    workspace = Workspace(root=tmp_path / "work")
    workspace.root.mkdir()
    run = a_run(output=f"file://{tmp_path}/out")
    context = AttemptContext(
        workspace=workspace,
        environment={"PATH": str(tmp_path), "AWS_ACCESS_KEY_ID": "x"},
        hardware=Hardware(gpus=1, cpus=2),
        stop=StopRequest(),
        reporter=Reporter(workspace, silent, 5.0, attempt=run.attempt),
        grace_seconds=30.0,
    )

    outcome = carry_out(run, context)

    assert outcome.failure is not None
    assert (outcome.failure.reason, outcome.failure.phase) == ("CompilerMissing", "Fetching")
    assert not (tmp_path / "out").exists()


def test_headers_are_searched_where_triton_searches_them() -> None:
    build = pytest.importorskip("triton.runtime.build")
    source = Path(build.__file__).read_text()

    assert "if scheme == 'posix_local':\n        scheme = 'posix_prefix'" in source
    assert 'py_include_dir = sysconfig.get_paths(scheme=scheme)["include"]' in source
    assert 'shutil.which("clang")' in source
    assert 'shutil.which("gcc")' in source
    assert 'shutil.which("cc")' not in source


@pytest.mark.slow  # importing Triton
@pytest.mark.parametrize(
    ("compiler", "words"),
    [
        pytest.param(None, "Triton found no C compiler", id="no compiler"),
        pytest.param(
            "exit 1", "does not compile in this image; Python.h may be missing", id="no headers"
        ),
    ],
)
def test_tritons_own_error_without_them_is_an_image_error_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: str | None, words: str
) -> None:
    """The error is Triton's own; a failing program replaces a compiler without headers."""
    build = pytest.importorskip("triton.runtime.build")
    if compiler is not None:
        (tmp_path / "gcc").write_text(f"#!/bin/sh\n{compiler}\n")
        (tmp_path / "gcc").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)

    with pytest.raises((RuntimeError, subprocess.CalledProcessError)) as raised:
        build.compile_module_from_src("int x;", "cuda_utils")

    failure = classify(raised.value, Stage.TRAINING)
    assert (failure.category, failure.reason) == (Category.USER, "CompilerMissing")
    assert words in failure.message
    assert failure.remedy == REMEDY


def test_a_driver_that_triton_does_not_find_is_reported_missing() -> None:
    error = AssertionError("libcuda.so cannot found!\nPlease make sure GPU is set up")

    failure = classify(error, Stage.TRAINING)

    assert (failure.category, failure.reason) == (Category.PLATFORM, "DriverMissing")
