# SPDX-License-Identifier: Apache-2.0
"""`finetune plan` with an adapter in place of a model: plans its base model, or refuses it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.local.test_plan_base_model import plan
from finetune_trainer.inputs import adapter_files
from finetune_trainer.inputs.model_facts import ModelUnknown
from support.model_folders import LLAMA, a_model, an_adapter

CONTINUE = {"adapter_as_model": "continue"}


def an_adapter_on_a_base(tmp_path: Path) -> Path:
    a_model(tmp_path / "base")
    return an_adapter(tmp_path / "model", base_model_name_or_path=str(tmp_path / "base"))


def test_the_base_model_is_planned_with_what_the_adapter_trains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = an_adapter_on_a_base(tmp_path)

    assert plan(tmp_path, **CONTINUE) == 0

    told = capsys.readouterr().out
    assert f"{tmp_path / 'base'} with the adapter {adapter} (llama, " in told
    # Rank 4, queries and values of 16 x 16, in 2 layers.
    assert f"{4 * (16 + 16) * 2 * 2:,} parameters" in told


def test_full_training_of_the_merged_model_is_planned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    an_adapter_on_a_base(tmp_path)

    assert plan(tmp_path, adapter_as_model="merge") == 0

    told = capsys.readouterr().out
    assert "full" in told
    assert "with the adapter" in told


@pytest.mark.parametrize(
    ("spoil", "config", "sentence"),
    [
        pytest.param(
            lambda place: None,
            {},
            "spec.config.model_name_or_path: the directory contains an adapter of",
            id="without the key",
        ),
        pytest.param(
            lambda place: an_adapter(place / "model", peft_type="LOKR"),
            CONTINUE,
            'spec.config.model_name_or_path: the adapter is of PEFT\'s type "LOKR"',
            id="another type",
        ),
        pytest.param(
            lambda place: None,
            {**CONTINUE, "lora_alpha": 16},
            "spec.config.lora_alpha: found 16, but adapter_as_model: continue trains an adapter",
            id="another alpha",
        ),
        pytest.param(
            lambda place: a_model(place / "base", {**LLAMA, "hidden_size": 32}),
            CONTINUE,
            "but the base model's has [32, 32]",
            id="a base of another size",
        ),
        pytest.param(
            lambda place: a_model(place / "base", {**LLAMA, "architectures": ["LlamaModel"]}),
            CONTINUE,
            "the model is a decoder without its output head (LlamaModel)",
            id="a base without a head",
        ),
    ],
)
def test_an_adapter_that_cannot_be_trained_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], object],
    config: dict[str, Any],
    sentence: str,
) -> None:
    an_adapter_on_a_base(tmp_path)
    spoil(tmp_path)

    assert plan(tmp_path, **config) == 64

    told = capsys.readouterr()
    assert sentence in told.err
    assert told.out == ""


def test_an_adapter_of_the_hub_is_read_with_one_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fake: the file of a directory replaces the hub's."""
    a_model(tmp_path / "base")
    an_adapter(tmp_path / "hub", base_model_name_or_path=str(tmp_path / "base"))
    asked: list[tuple[str, str]] = []

    def read(name: str, revision: str, environment: object) -> bytes:
        asked.append((name, revision))
        return (tmp_path / "hub" / "adapter_config.json").read_bytes()

    monkeypatch.setattr(adapter_files, "read_on_hub", read)
    config = {"model_name_or_path": "acme/adapter", "model_revision": "v2", **CONTINUE}

    assert plan(tmp_path, **config) == 0

    assert asked == [("acme/adapter", "v2")]
    assert "with the adapter acme/adapter (llama, " in capsys.readouterr().out


@pytest.mark.parametrize("names_base", [True, False])
def test_an_adapter_that_cannot_be_read_from_here_is_no_error(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    names_base: bool,
) -> None:
    def read(name: str, revision: str, environment: object) -> bytes:
        raise ModelUnknown(f"the adapter_config.json of {name} cannot be read here")

    monkeypatch.setattr(adapter_files, "read_on_hub", read)
    base = {"adapter_base_model": str(a_model(tmp_path / "base"))} if names_base else {}

    assert plan(tmp_path, model_name_or_path="acme/adapter", **CONTINUE, **base) == 0

    told = capsys.readouterr().out
    unknown = "unknown: its adapter is unknown: the adapter_config.json of acme/adapter cannot be"
    assert (unknown in told) == (not names_base)
    assert ("(llama, " in told) == names_base


def test_as_json_the_model_has_the_name_of_the_adapter_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from finetune_cli.local.command_line import main

    adapter = an_adapter_on_a_base(tmp_path)
    plan(tmp_path, **CONTINUE)
    capsys.readouterr()

    assert main(["plan", str(tmp_path / "job.yaml"), "--output", "json"]) == 0

    found = json.loads(capsys.readouterr().out)
    assert found["model"] == f"{tmp_path / 'base'} with the adapter {adapter}"
    assert found["trainableParameters"] == 512
