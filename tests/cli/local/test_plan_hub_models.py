# SPDX-License-Identifier: Apache-2.0
"""`finetune plan` checks a model of the hub from parts of its files. The hub is a stub on
127.0.0.1.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from finetune_cli.local.command_line import main
from finetune_contract.outcome import ExitCode
from support.model_folders import LLAMA, POINTER, a_model, a_tokenizer
from trainer.hub_files import FileHub, serve_to_an_empty_cache


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileHub]:
    with serve_to_an_empty_cache(tmp_path / "cache", monkeypatch) as stub:
        monkeypatch.setenv("HF_ENDPOINT", stub.endpoint)
        yield stub


def plan(tmp_path: Path, **config: object) -> int:
    (tmp_path / "train.jsonl").write_text('{"text": "words"}\n')
    job = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "balloon"},
        "spec": {
            "config": {
                "model_name_or_path": "acme/tiny",
                "dataset_name": str(tmp_path / "train.jsonl"),
                "learning_rate": 2e-4,
                **config,
            },
            "output": {"uri": "s3://models/balloon"},
        },
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    return main(["plan", str(tmp_path / "job.yaml")])


def test_parameters_of_an_unknown_architecture_are_counted_from_the_headers(
    tmp_path: Path, hub: FileHub, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {**LLAMA, "model_type": "of-its-own"}
    hub.add("acme/tiny", a_model(tmp_path / "model", config, extra=(1000, 1000)))

    assert plan(tmp_path) == ExitCode.SUCCEEDED

    assert "estimated as a Llama of the same size, 1.01 million parameters" in (
        capsys.readouterr().out
    )
    assert hub.gets("model.safetensors") == []


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        pytest.param(
            lambda folder: (folder / "model.safetensors").write_text(POINTER),
            "spec.config.model_name_or_path: model.safetensors is a Git LFS pointer, not the "
            "content: the repository was cloned without Git LFS (acme/tiny)",
            id="a pointer was committed",
        ),
        pytest.param(
            lambda folder: (
                (folder / "model.safetensors").rename(folder / "tiny-Q4_K_M.gguf"),
                (folder / "config.json").unlink(),
            ),
            "the model's weights (tiny-Q4_K_M.gguf) are in GGUF, which is for inference",
            id="GGUF alone",
        ),
    ],
)
def test_a_model_that_cannot_be_trained_is_refused_on_a_laptop(
    tmp_path: Path,
    hub: FileHub,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], object],
    sentence: str,
) -> None:
    spoil(a_model(tmp_path / "model"))
    hub.add("acme/tiny", tmp_path / "model")

    assert plan(tmp_path) == ExitCode.USER

    assert sentence in capsys.readouterr().err


def test_tokens_without_a_row_in_the_embedding_are_reported(
    tmp_path: Path, hub: FileHub, capsys: pytest.CaptureFixture[str]
) -> None:
    a_tokenizer(a_model(tmp_path / "model"), **{"<call>": 100})
    hub.add("acme/tiny", tmp_path / "model")

    assert plan(tmp_path) == ExitCode.SUCCEEDED

    assert 'its embedding has no row for "<call>"' in capsys.readouterr().err


def test_a_hub_that_lists_no_files_gives_the_plan_of_the_config(
    tmp_path: Path, hub: FileHub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.add("acme/tiny", a_model(tmp_path / "model"))
    hub.lists_files = False

    assert plan(tmp_path) == ExitCode.SUCCEEDED

    assert "acme/tiny (llama, " in capsys.readouterr().out
