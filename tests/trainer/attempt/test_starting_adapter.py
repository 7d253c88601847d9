# SPDX-License-Identifier: Apache-2.0
"""The supervisor checks an adapter in place of a model, and its base, without importing torch."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from finetune_contract.outcome import Category, Failure
from finetune_trainer.attempt import fetched
from finetune_trainer.failures.errors import AttemptFailed
from support.model_folders import (
    LLAMA,
    POINTER,
    a_model,
    adapter_tensors,
    an_adapter,
    write_weights,
)
from trainer.attempt.test_base_model import ending

CONTINUE = {"adapter_as_model": "continue"}
WEIGHTS = "adapter_model.safetensors"


def failure_of(tmp_path: Path, model: Path | str, **config: Any) -> Failure:
    failure = ending(tmp_path, str(model), **config).failure
    assert failure is not None
    return failure


def described(folder: Path, **changed: Any) -> None:
    """Changes the adapter's config."""
    an_adapter(folder, base_model_name_or_path=str(folder.parent / "base"), **changed)


@pytest.mark.parametrize(
    ("spoil", "config", "reason", "sentence"),
    [
        pytest.param(
            lambda folder: None,
            {"adapter_as_model": None},
            "ModelNotFound",
            "which is not a model on its own",
            id="no key that says what to do",
        ),
        pytest.param(
            lambda folder: (folder / "adapter_config.json").unlink(),
            CONTINUE,
            "ModelNotFound",
            "contains no model: there is no config.json, but adapter_model.safetensors",
            id="no adapter",
        ),
        pytest.param(
            lambda folder: (a_model(folder) / "adapter_config.json").unlink(),
            CONTINUE,
            "InvalidConfig",
            "contains no adapter: there is no adapter_config.json, but adapter_model.safetensors",
            id="a model",
        ),
        pytest.param(
            lambda folder: (folder / "adapter_config.json").write_text("{"),
            CONTINUE,
            "ModelDamaged",
            "adapter_config.json is not JSON",
            id="no JSON",
        ),
        pytest.param(
            lambda folder: (folder / "adapter_config.json").write_text("[" * 5000),
            CONTINUE,
            "ModelDamaged",
            "adapter_config.json",
            id="deeply nested JSON",
        ),
        pytest.param(
            lambda folder: (folder / "adapter_config.json").write_text(" " * 2**21 + "{}"),
            CONTINUE,
            "ModelDamaged",
            "adapter_config.json",
            id="2 MiB of JSON",
        ),
        pytest.param(
            lambda folder: (folder / "adapter_config.json").write_text(POINTER),
            CONTINUE,
            "ModelDamaged",
            "adapter_config.json is a Git LFS pointer",
            id="a pointer for the config",
        ),
        pytest.param(
            lambda folder: (folder / WEIGHTS).write_text(POINTER),
            CONTINUE,
            "ModelDamaged",
            "adapter_model.safetensors is a Git LFS pointer",
            id="a pointer for the weights",
        ),
        pytest.param(
            lambda folder: (folder / WEIGHTS).unlink(),
            CONTINUE,
            "ModelDamaged",
            "the adapter's file adapter_model.safetensors is missing",
            id="no weights",
        ),
        pytest.param(
            lambda folder: (folder / WEIGHTS).rename(folder / "adapter_model.bin"),
            CONTINUE,
            "InvalidConfig",
            "the adapter's weights are in adapter_model.bin, which may run code when it is loaded",
            id="a pickle",
        ),
        pytest.param(
            lambda folder: write_weights(folder / WEIGHTS, adapter_tensors(), dtype="F32", cut=9),
            CONTINUE,
            "ModelDamaged",
            "adapter_model.safetensors is cut short",
            id="half of the weights",
        ),
        pytest.param(
            lambda folder: write_weights(folder / WEIGHTS, adapter_tensors(rank=9)),
            CONTINUE,
            "ModelDamaged",
            "but its config has r: 4",
            id="weights of another rank",
        ),
        pytest.param(
            lambda folder: described(folder, peft_type="LOHA"),
            CONTINUE,
            "InvalidConfig",
            'the adapter is of PEFT\'s type "LOHA", and only LORA is supported',
            id="another type",
        ),
        pytest.param(
            lambda folder: an_adapter(folder, base_model_name_or_path="/no/such/base"),
            CONTINUE,
            "ModelNotFound",
            "the adapter names the base model /no/such/base, a directory that does not exist here",
            id="a base of another machine",
        ),
        pytest.param(
            lambda folder: an_adapter(folder, base_model_name_or_path=None),
            {"adapter_as_model": "merge", "use_peft": False},
            "InvalidConfig",
            "the adapter names no base model",
            id="no base",
        ),
        pytest.param(
            lambda folder: None,
            {**CONTINUE, "lora_r": 8},
            "InvalidConfig",
            "lora_r: found 8, but adapter_as_model: continue trains an adapter with 4",
            id="another rank in the config",
        ),
        pytest.param(
            lambda folder: a_model(folder.parent / "base", {**LLAMA, "hidden_size": 32}),
            CONTINUE,
            "ModelDamaged",
            "change a weight of [16, 16], but the base model's has [32, 32]",
            id="a base of another size",
        ),
        pytest.param(
            lambda folder: a_model(
                folder.parent / "base", {**LLAMA, "architectures": ["LlamaModel"]}
            ),
            CONTINUE,
            "InvalidConfig",
            "model_name_or_path: the model is a decoder without its output head (LlamaModel)",
            id="a base without a head",
        ),
        pytest.param(
            lambda folder: an_adapter(folder.parent / "base"),
            CONTINUE,
            "ModelNotFound",
            "the directory contains an adapter of",
            id="a base that is an adapter too",
        ),
        pytest.param(
            lambda folder: (folder.parent / "base" / "model.safetensors").write_text(POINTER),
            CONTINUE,
            "ModelDamaged",
            "model.safetensors is a Git LFS pointer",
            id="a base that is a pointer",
        ),
        pytest.param(
            lambda folder: a_model(
                folder.parent / "base",
                {**LLAMA, "quantization_config": {"quant_method": "gptq", "bits": 4}},
            ),
            {"adapter_as_model": "merge", "use_peft": True, "merge_adapter": True},
            "InvalidConfig",
            "an adapter cannot be merged into them",
            id="merged into a quantized base",
        ),
    ],
)
def test_an_adapter_that_cannot_be_trained_is_a_user_error_with_a_remedy(
    tmp_path: Path,
    spoil: Callable[[Path], object],
    config: Mapping[str, Any],
    reason: str,
    sentence: str,
) -> None:
    a_model(tmp_path / "base")
    adapter = an_adapter(tmp_path / "adapter", base_model_name_or_path=str(tmp_path / "base"))
    spoil(adapter)

    failure = failure_of(tmp_path, adapter, **config)

    assert failure.category is Category.USER
    assert failure.reason == reason
    assert sentence in failure.message
    assert failure.remedy
    assert failure.phase == "Fetching"
    assert not [*(tmp_path / "work").rglob("config.yaml")]


def test_the_base_model_of_the_config_replaces_that_of_the_adapter(tmp_path: Path) -> None:
    base = a_model(tmp_path / "base", {**LLAMA, "architectures": ["LlamaModel"]})
    adapter = an_adapter(tmp_path / "adapter", base_model_name_or_path="/no/such/base")

    failure = failure_of(tmp_path, adapter, adapter_base_model=base.as_uri(), **CONTINUE)

    assert "the model is a decoder without its output head" in failure.message


def test_the_ranks_read_checked_options_and_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_model(tmp_path / "base")
    adapter = an_adapter(
        tmp_path / "adapter",
        base_model_name_or_path=str(tmp_path / "base"),
        auto_mapping={"parent_library": "os", "base_model_class": "system"},
    )
    for name in ("training_args.bin", "README.md", "tokenizer.json", ".hidden"):
        (adapter / name).write_text("{}")

    def require_base_model(run: Any, context: Any) -> None:
        raise AttemptFailed(
            Failure(category=Category.USER, reason="X", message="enough", remedy="")
        )

    monkeypatch.setattr(fetched, "require_base_model", require_base_model)

    assert failure_of(tmp_path, adapter, **CONTINUE).message == "enough"
    (written,) = (tmp_path / "work").rglob("adapter/adapter_config.json")
    assert {file.name for file in written.parent.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
    }
    assert "auto_mapping" not in json.loads(written.read_text())
