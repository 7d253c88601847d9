# SPDX-License-Identifier: Apache-2.0
"""`finetune download`: the complete and correct results of a run, or an error."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from finetune_cli.local.command_line import main
from finetune_trainer.storage.manifest import ArtifactManifest, File
from trainer.runs import a_folder

FILES = {"adapter/adapter_model.safetensors": b"weights", "report/metrics.jsonl": b"{}"}


def publish(output: Path, run_id: str) -> Path:
    """A complete run, as written by the trainer, and a checkpoint."""
    run = a_folder(output / run_id, FILES | {"checkpoints/step-00000001/x": b"checkpoint"})
    files = tuple(
        File(path=path, size=len(body), sha256=hashlib.sha256(body).hexdigest())
        for path, body in FILES.items()
    )
    (run / "manifest.json").write_text(ArtifactManifest(files=files).to_json())
    (output / "latest.json").write_text(json.dumps({"runId": run_id}))
    return run


@pytest.fixture
def output(tmp_path: Path) -> Path:
    publish(tmp_path / "output", "first")
    publish(tmp_path / "output", "second")
    return tmp_path / "output"


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.mark.parametrize(
    ("place", "run"),
    [("", "second"), ("/", "second"), ("/first", "first"), ("/first/adapter", "first")],
)
def test_a_download_accepts_an_output_location_a_run_or_an_artifact(
    output: Path, tmp_path: Path, place: str, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["download", f"{output.as_uri()}{place}", str(tmp_path / "here")])

    manifest = (output / run / "manifest.json").read_bytes()
    assert code == 0
    assert files_in(tmp_path / "here") == FILES | {"manifest.json": manifest}
    assert f"/{run}: 2 files, sha256:" in capsys.readouterr().err


MERGED = {"model/config.json": b"{}", "model/model.safetensors": b"merged"}


def merge(run: Path, adapter: str | None = None) -> Path:
    """A merged model of this adapter next to a complete run."""
    a_folder(run, MERGED)
    files = tuple(
        File(path=path, size=len(body), sha256=hashlib.sha256(body).hexdigest())
        for path, body in MERGED.items()
    )
    of = adapter or ArtifactManifest.from_json((run / "manifest.json").read_bytes()).digest
    manifest = ArtifactManifest(files=files, facts={"adapter": of})
    (run / "merged.json").write_text(manifest.to_json())
    return run


def test_a_merged_model_is_downloaded_with_the_adapter(
    output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    merge(output / "second")

    code = main(["download", f"{output.as_uri()}/second/model", str(tmp_path / "here")])

    assert code == 0
    assert set(files_in(tmp_path / "here")) == {*FILES, *MERGED, "manifest.json", "merged.json"}
    assert "/second: 4 files, sha256:" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["half deleted", "of another adapter"])
def test_an_incomplete_merged_model_does_not_block_the_download_of_the_adapter(
    output: Path, tmp_path: Path, damage: str
) -> None:
    merge(output / "second", "sha256:other" if damage == "of another adapter" else None)
    if damage == "half deleted":
        (output / "second" / "model" / "model.safetensors").unlink()

    code = main(["download", str(output), str(tmp_path / "here")])

    assert code == 0
    assert set(files_in(tmp_path / "here")) == {*FILES, "manifest.json"}


def test_results_can_be_downloaded_as_an_archive(
    output: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    code = main(["download", str(output), "-"])

    with tarfile.open(fileobj=io.BytesIO(capsysbinary.readouterr().out)) as archive:
        names = archive.getnames()
    assert code == 0
    assert names == [*FILES, "manifest.json"]


@pytest.mark.parametrize("target", ["here", "-"])
def test_a_damaged_file_is_named_and_the_directory_stays_incomplete(
    output: Path, tmp_path: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (output / "second" / "report" / "metrics.jsonl").write_bytes(b"[]")
    folder = target if target == "-" else str(tmp_path / target)

    code = main(["download", str(output), folder])

    assert code == 75
    assert "/report/metrics.jsonl does not match the manifest" in capsys.readouterr().err
    assert not (tmp_path / target / "manifest.json").exists()


def test_a_location_without_a_complete_run_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["download", str(tmp_path / "nothing"), str(tmp_path / "here")])

    assert code == 66
    assert capsys.readouterr().err.endswith("/nothing has no complete run\n")
    assert not (tmp_path / "here").exists()


def test_a_directory_that_is_not_empty_is_left_unchanged(
    output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = a_folder(tmp_path / "here", {"mine": b"mine"})

    code = main(["download", str(output), str(here)])

    assert code == 64
    assert files_in(here) == {"mine": b"mine"}
    assert capsys.readouterr().err == f"{here} already exists and is not an empty directory\n"
