# SPDX-License-Identifier: Apache-2.0
"""Problems of a model's directory are reported after a few small reads, with the remedy."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_spec.base_model.files import find_damage
from finetune_trainer.inputs.model_facts import look_at_model
from support.model_folders import (
    LLAMA,
    POINTER,
    a_model,
    tensors_of,
    write_index,
    write_weights,
)


def told(folder: Path) -> str:
    """Reason, sentence and remedy; empty for a model without a problem."""
    seen = look_at_model(str(folder), "main", {})
    assert seen.files is not None
    damage = find_damage(seen.files, seen.config)
    return "" if damage is None else f"{damage.reason}: {damage.message}: {damage.remedy}"


def shards(folder: Path, *, there: int, of: int, named: str = "model") -> None:
    """A model in several files, some of which exist."""
    tensors = [*tensors_of().items()]
    names = [f"{named}-{place + 1:05}-of-{of:05}.safetensors" for place in range(of)]
    (folder / "model.safetensors").unlink()
    for place, name in enumerate(names[:there]):
        write_weights(folder / name, dict(tensors[place::of]))
    write_index(folder, {key: names[place % of] for place, (key, _) in enumerate(tensors)})


def shards_without_an_index(folder: Path) -> None:
    shards(folder, there=2, of=2)
    (folder / "model.safetensors.index.json").unlink()


def as_pointers(*names: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for name in names:
            (folder / name).write_text(POINTER)

    return write


def pointed_shards(folder: Path) -> None:
    shards(folder, there=4, of=4)
    for file in folder.glob("model-*.safetensors"):
        file.write_text(POINTER)


def only(*names: str) -> Callable[[Path], None]:
    """The directory with only these files as weights."""

    def write(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        for name in names:
            (folder / name).write_bytes(b"GGUF")

    return write


def an_adapter(folder: Path, base: str = "meta-llama/Llama-3.1-8B") -> None:
    config = {"peft_type": "LORA", "base_model_name_or_path": base}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    write_weights(folder / "adapter_model.safetensors", {"lora_A.weight": (4, 16)})


def only_an_adapter(folder: Path) -> None:
    an_adapter(folder)
    (folder / "model.safetensors").unlink()
    (folder / "config.json").unlink()


def renamed(change: Callable[[str], str]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        tensors = {change(name): shape for name, shape in tensors_of().items()}
        write_weights(folder / "model.safetensors", tensors)

    return write


def without(*parts: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        tensors = tensors_of()
        kept = {name: tensors[name] for name in tensors if not any(it in name for it in parts)}
        write_weights(folder / "model.safetensors", kept)

    return write


def a_shape(name: str, *shape: int) -> Callable[[Path], None]:
    return lambda folder: write_weights(folder / "model.safetensors", {**tensors_of(), name: shape})


@pytest.mark.parametrize(
    ("spoil", "sentence", "remedy"),
    [
        pytest.param(
            as_pointers("model.safetensors"),
            "ModelDamaged: model.safetensors is a Git LFS pointer, not the content",
            "run git lfs install and git lfs pull in the clone, and upload the directory again",
            id="a clone without git lfs",
        ),
        pytest.param(
            pointed_shards,
            "ModelDamaged: model-00001-of-00004.safetensors, model-00002-of-00004.safetensors, "
            "model-00003-of-00004.safetensors and 1 more are Git LFS pointers",
            "git lfs pull",
            id="a large clone without git lfs",
        ),
        pytest.param(
            as_pointers("tokenizer.json"),
            "ModelDamaged: tokenizer.json is a Git LFS pointer",
            "git lfs pull",
            id="weights by hand, and the tokenizer from a clone",
        ),
        pytest.param(
            lambda folder: (
                only()(folder),
                (folder / "pytorch_model.bin").write_text(POINTER),
            ),
            "ModelDamaged: pytorch_model.bin is a Git LFS pointer",
            "git lfs pull",
            id="an older clone",
        ),
        pytest.param(
            only_an_adapter,
            'ModelNotFound: the directory contains an adapter of "meta-llama/Llama-3.1-8B" (',
            "set adapter_as_model: continue to train this adapter further, or adapter_as_model: "
            "merge to merge it into its base model and train the result; to train a new adapter, "
            "name the base model",
            id="what an earlier job has published",
        ),
        pytest.param(
            an_adapter,
            'ModelNotFound: the directory contains an adapter of "meta-llama/Llama-3.1-8B"',
            "set adapter_as_model: continue",
            id="an adapter next to a full model",
        ),
        pytest.param(
            lambda folder: (folder / "adapter_config.json").write_text("{"),
            "ModelNotFound: the directory contains an adapter (adapter_config.json)",
            "name the base model",
            id="an adapter without its base model",
        ),
        pytest.param(
            only("tiny-Q4_K_M.gguf"),
            "ModelNotFound: the model's weights (tiny-Q4_K_M.gguf) are in GGUF, which is for "
            "inference and cannot be trained",
            "name the model that they were converted from, as saved by transformers",
            id="for llama.cpp",
        ),
        pytest.param(
            only("tf_model.h5"),
            "ModelNotFound: the model's weights (tf_model.h5) are in TensorFlow's",
            "as saved by transformers",
            id="TensorFlow",
        ),
        pytest.param(
            only("flax_model.msgpack"),
            "(flax_model.msgpack) are in Flax's",
            "as saved by transformers",
            id="Flax",
        ),
        pytest.param(
            only("consolidated.00.pth", "params.json"),
            "(consolidated.00.pth) are in its authors' own format",
            "as saved by transformers",
            id="Llama as Meta gives it",
        ),
        pytest.param(
            only("consolidated.safetensors"),
            "(consolidated.safetensors) are in a layout other than transformers'",
            "as saved by transformers",
            id="Mistral's own layout alone",
        ),
        pytest.param(
            lambda folder: shards(folder, there=2, of=4),
            "ModelDamaged: 2 of the 4 files that model.safetensors.index.json names are missing: "
            "model-00003-of-00004.safetensors, model-00004-of-00004.safetensors",
            "upload the complete directory again",
            id="a download that was broken off between files",
        ),
        pytest.param(
            shards_without_an_index,
            "ModelDamaged: the model has 2 weights files such as "
            "model-00001-of-00002.safetensors, but the index model.safetensors.index.json is "
            "missing",
            "upload the complete directory, including the index",
            id="*.safetensors were copied, and the index wasn't",
        ),
        pytest.param(
            lambda folder: write_weights(folder / "model.safetensors", tensors_of(), cut=100),
            "ModelDamaged: model.safetensors is cut short: it has",
            "upload this file again",
            id="a download that was broken off within a file",
        ),
        pytest.param(
            lambda folder: (folder / "model.safetensors").write_text("<html>404 not found</html>"),
            "ModelDamaged: model.safetensors is not a safetensors file: its beginning is invalid",
            "upload this file again",
            id="a page instead of a file",
        ),
        pytest.param(
            lambda folder: (folder / "model.safetensors").write_bytes(b""),
            "ModelDamaged: model.safetensors is not a safetensors file",
            "upload this file again",
            id="an empty file",
        ),
        pytest.param(
            renamed(lambda name: f"_orig_mod.{name}"),
            "ModelDamaged: the names of 21 of the model's tensors contain _orig_mod, such as "
            "_orig_mod.lm_head.weight: the model was saved wrapped in torch.compile, and these "
            "tensors would be skipped and initialized randomly",
            "save model._orig_mod instead, and upload the directory again",
            id="saved compiled",
        ),
        pytest.param(
            renamed(lambda name: name.replace("self_attn", "_checkpoint_wrapped_module.self_attn")),
            "ModelDamaged: the names of 8 of the model's tensors contain "
            "_checkpoint_wrapped_module",
            "save the model inside",
            id="saved with activation checkpointing around its layers",
        ),
        pytest.param(
            renamed(lambda name: f"module.{name}"),
            "ModelDamaged: the names of 21 of the model's tensors contain module",
            "save model.module instead",
            id="saved in DataParallel",
        ),
        pytest.param(
            renamed(lambda name: f"base_model.model.{name}".replace("q_proj", "q_proj.base_layer")),
            "ModelDamaged: the names of 2 of the model's tensors contain base_layer",
            "save what merge_and_unload() returns",
            id="saved with an adapter in it",
        ),
        pytest.param(
            without("lm_head"),
            "ModelDamaged: the model's files lack 1 tensor (lm_head.weight): they would be "
            "initialized randomly",
            "upload the complete model as save_pretrained writes it, with all layers",
            id="without the head",
        ),
        pytest.param(
            without("layers.1."),
            "ModelDamaged: the model's files lack 7 tensors "
            "(model.layers.1.self_attn.q_proj.weight, model.layers.1.self_attn.k_proj.weight, "
            "model.layers.1.self_attn.v_proj.weight and 4 more): they would be initialized "
            "randomly",
            "all layers",
            id="without a layer",
        ),
        pytest.param(
            without("embed_tokens"),
            "ModelDamaged: the model's files lack 1 tensor (the embedding)",
            "upload the complete model",
            id="without the embedding",
        ),
        pytest.param(
            a_shape("model.embed_tokens.weight", 102, 16),
            "ModelDamaged: the model's embedding has 102 rows, but vocab_size in config.json is "
            "100",
            "save the model again after resize_token_embeddings",
            id="the embedding of another config.json",
        ),
    ],
)
def test_a_directory_that_cannot_be_trained_is_refused_with_a_remedy(
    tmp_path: Path, spoil: Callable[[Path], object], sentence: str, remedy: str
) -> None:
    spoil(a_model(tmp_path))

    found = told(tmp_path)

    assert sentence in found
    assert remedy in found


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda folder: None, id="one file"),
        pytest.param(lambda folder: shards(folder, there=3, of=3), id="three files"),
        pytest.param(
            lambda folder: (folder / "consolidated.safetensors").write_bytes(b"another layout"),
            id="a second copy in Mistral's layout",
        ),
        pytest.param(
            lambda folder: (folder / "tiny.gguf").write_bytes(b"GGUF"), id="a GGUF file next to it"
        ),
        pytest.param(
            renamed(lambda name: name.removeprefix("model.")), id="names without their prefix"
        ),
        pytest.param(
            lambda folder: (
                (folder / "model.safetensors").unlink(),
                (folder / "pytorch_model.bin").write_bytes(b"PK"),
            ),
            id="weights as torch saves them",
        ),
        pytest.param(
            lambda folder: (folder / "model.safetensors").unlink(), id="nothing but a config.json"
        ),
        pytest.param(
            lambda folder: write_index(folder, {"a": "../../etc/passwd", "b": 7}),  # type: ignore[dict-item]
            id="an index that transformers does not read",
        ),
        pytest.param(
            lambda folder: (folder / "tokenizer.json").write_text('{"added_tokens": [[[['),
            id="a tokenizer that is none",
        ),
        pytest.param(a_shape("mtp.layers.0.eh_proj.weight", 16, 32), id="tensors of other parts"),
    ],
)
def test_a_directory_that_transformers_can_load_is_accepted(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    change(a_model(tmp_path))

    assert told(tmp_path) == ""


def test_a_head_tied_to_the_embedding_need_not_be_in_the_files(tmp_path: Path) -> None:
    a_model(tmp_path, {**LLAMA, "tie_word_embeddings": True})
    without("lm_head")(tmp_path)

    assert told(tmp_path) == ""


def test_a_quantized_model_is_not_reported_as_lacking_weights(tmp_path: Path) -> None:
    a_model(tmp_path, {**LLAMA, "quantization_config": {"quant_method": "gptq", "bits": 4}})
    renamed(lambda name: name.replace("proj.weight", "proj.qweight"))(tmp_path)

    assert told(tmp_path) == ""


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 100_000,
        b'{"a":' * 9_000,
        b'{"a": 1}',
        b'{"a": {"shape": [1], "dtype": "F32", "data_offsets": "all of it"}}',
        b'{"a": {"shape": [1], "dtype": "F32", "data_offsets": [0, 1e999]}}',
        b'{"a": {"shape": [-1], "dtype": "F32", "data_offsets": [0, 4]}}',
        b"\xff\xfe",
    ],
    ids=["lists", "mappings", "a number", "a text for places", "infinity", "negative", "no text"],
)
def test_any_invalid_header_is_a_damaged_file(tmp_path: Path, header: bytes) -> None:
    content = len(header).to_bytes(8, "little") + header
    (a_model(tmp_path) / "model.safetensors").write_bytes(content)

    assert told(tmp_path).startswith("ModelDamaged: model.safetensors is not a safetensors file")
