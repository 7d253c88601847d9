# SPDX-License-Identifier: Apache-2.0
"""The supervisor refuses a base model that cannot be trained, without importing torch."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from finetune_contract.outcome import Category, Outcome
from finetune_trainer.attempt import supervisor
from finetune_trainer.plan import packages
from support.model_folders import LLAMA, POINTER, a_model, tensors_of, write_weights
from trainer.hub_files import FileHub, serve_to_an_empty_cache
from trainer.runs import a_folder, a_run


def ending(tmp_path: Path, model: str, **config: object) -> Outcome:
    """The outcome of an attempt in this process."""
    data = tmp_path / "train.jsonl"
    data.write_text('{"text": "words"}\n')
    run = a_run(
        output=(tmp_path / "out").as_uri(),
        model_name_or_path=model,
        **{"dataset_name": str(data), **config},
    )
    (tmp_path / "run.json").write_text(run.to_json())
    supervisor.main(
        [
            *("--run", str(tmp_path / "run.json"), "--work", str(tmp_path / "work")),
            *("--termination-log", str(tmp_path / "outcome.json")),
        ]
    )
    return Outcome.from_json((tmp_path / "outcome.json").read_text())


@pytest.mark.parametrize(
    ("spoil", "reason", "sentence"),
    [
        pytest.param(
            lambda folder: a_model(folder, {**LLAMA, "architectures": ["LlamaModel"]}),
            "InvalidConfig",
            "model_name_or_path: the model is a decoder without its output head (LlamaModel)",
            id="no head in config.json",
        ),
        pytest.param(
            lambda folder: (folder / "model.safetensors").write_text(POINTER),
            "ModelDamaged",
            "model.safetensors is a Git LFS pointer, not the content",
            id="a pointer",
        ),
        pytest.param(
            lambda folder: (folder / "adapter_config.json").write_text("{}"),
            "ModelNotFound",
            "the directory contains an adapter (adapter_config.json), which is not a model on its "
            "own",
            id="an adapter",
        ),
    ],
)
def test_an_unusable_base_model_is_a_user_error_with_a_remedy(
    tmp_path: Path, spoil: Callable[[Path], object], reason: str, sentence: str
) -> None:
    spoil(a_model(tmp_path / "model"))

    failure = ending(tmp_path, str(tmp_path / "model")).failure

    assert failure is not None
    assert failure.category is Category.USER
    assert failure.reason == reason
    assert sentence in failure.message
    assert failure.remedy
    assert failure.phase == "Fetching"
    assert not [*(tmp_path / "work").rglob("config.yaml")]


def test_a_tokenizer_that_this_image_cannot_read_is_reported_with_the_missing_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    model = a_model(tmp_path / "model")
    (model / "tokenizer.json").rename(model / "tokenizer.model")

    failure = ending(tmp_path, str(model)).failure

    assert failure is not None
    assert failure.category is Category.USER
    assert "its tokenizer is tokenizer.model alone, which needs the package sentencepiece" in (
        failure.message
    )
    assert "tokenizer.json" in failure.remedy


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("rows.jsonl", "rows.jsonl"),
        ("set/train.txt", "set"),
        ("set/images/red.png", "set"),
        ("set/train.parquet", "set"),
    ],
    ids=["a file", "a text, which could be trained on", "an image of a folder", "a table"],
)
def test_a_git_lfs_pointer_in_place_of_data_is_reported(
    tmp_path: Path, name: str, named: str
) -> None:
    model = a_model(tmp_path / "model")
    a_folder(tmp_path, {"set/rows.txt": b"A row.\n", name: POINTER.encode()})

    failure = ending(tmp_path, str(model), dataset_name=str(tmp_path / named)).failure

    assert failure is not None
    assert failure.reason == "InvalidDataset"
    told = name.removeprefix("set/")
    assert f"{told} is a Git LFS pointer, not the data" in failure.message


def test_a_model_in_a_store_is_checked_before_it_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is a directory here, with the scheme as the only difference."""
    from finetune_trainer.inputs import fetching

    (a_model(tmp_path / "model") / "model.safetensors").write_text(POINTER)
    fetched: list[str] = []
    monkeypatch.setattr(fetching, "fetch", lambda *asked: fetched.append(asked[0]))

    failure = ending(tmp_path, (tmp_path / "model").as_uri()).failure

    assert failure is not None
    assert failure.reason == "ModelDamaged"
    assert fetched == []


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileHub]:
    """A stub of the hub on 127.0.0.1, and an empty cache."""
    with serve_to_an_empty_cache(tmp_path / "cache", monkeypatch) as stub:
        yield stub


def wrapped(folder: Path) -> None:
    names = {f"_orig_mod.{name}": shape for name, shape in tensors_of().items()}
    write_weights(folder / "model.safetensors", names)


@pytest.mark.parametrize(
    ("spoil", "config", "sentence", "remedy"),
    [
        pytest.param(
            wrapped,
            {},
            "contain _orig_mod, such as _orig_mod.lm_head.weight: the model was saved wrapped in "
            "torch.compile",
            "if the repository is not yours, name another model, or set model_revision",
            id="a damaged model",
        ),
        pytest.param(
            lambda folder: None,
            {"use_peft": True, "lora_target_modules": ["qkv", "Wo"]},
            "the model has none of qkv, Wo: it has q_proj, k_proj, v_proj, o_proj",
            "lora_target_modules",
            id="a sound model, and targets of another",
        ),
    ],
)
def test_a_model_of_the_hub_is_checked_before_it_is_downloaded(
    tmp_path: Path,
    hub: FileHub,
    spoil: Callable[[Path], object],
    config: Mapping[str, object],
    sentence: str,
    remedy: str,
) -> None:
    spoil(a_model(tmp_path / "model", {**LLAMA, "model_type": "of-its-own"} if config else LLAMA))
    hub.add("acme/tiny", tmp_path / "model")

    # The address of the hub comes from the config.
    found = ending(tmp_path, "acme/tiny", env={"HF_ENDPOINT": hub.endpoint}, **config).failure

    assert found is not None
    assert found.phase == "Fetching"
    assert found.category is Category.USER
    assert sentence in found.message
    assert remedy in found.remedy
    assert hub.gets("model.safetensors") == []
