# SPDX-License-Identifier: Apache-2.0
"""The files of a repository that are fetched: those that are loaded, and no second copy."""

import pytest

from finetune_trainer.inputs.hub import choice


def a_repository(*names: str) -> list[str]:
    return ["config.json", "tokenizer.json", *names]


@pytest.mark.parametrize(
    ("names", "loaded"),
    [
        (["model.safetensors", "pytorch_model.bin"], ["model.safetensors"]),
        (["pytorch_model.bin", "tf_model.h5", "flax_model.msgpack"], ["pytorch_model.bin"]),
        (["model.safetensors", "model.fp16.safetensors"], ["model.safetensors"]),
        (["model.safetensors", "consolidated.safetensors"], ["model.safetensors"]),
        (["model.safetensors", "onnx/model.onnx", "model.gguf"], ["model.safetensors"]),
        (["weights-of-its-own.safetensors"], ["weights-of-its-own.safetensors"]),
        (["model.safetensors", "adapter_model.safetensors"],) * 2,
        ([], []),
    ],
)
def test_only_the_format_that_is_loaded_is_fetched(names: list[str], loaded: list[str]) -> None:
    assert choice.weight_files(a_repository(*names), {}) == sorted(loaded)


def test_an_index_lists_the_parts_of_a_model() -> None:
    index = {"weight_map": {"a": "model-00001-of-2.safetensors", "b": "part-2.safetensors"}}
    names = a_repository(
        *("model.safetensors.index.json", "model-00001-of-2.safetensors", "part-2.safetensors"),
        *("consolidated-1.safetensors", "pytorch_model.bin"),
    )

    assert choice.index_files(names) == ["model.safetensors.index.json"]
    assert choice.weight_files(names, {"model.safetensors.index.json": index}) == [
        "model-00001-of-2.safetensors",
        "part-2.safetensors",
    ]


def test_configs_and_code_are_fetched_and_files_of_other_programs_are_not() -> None:
    names = ["config.json", "modeling_own.py", "sub/vocab.json", ".gitattributes", "README.md"]

    assert choice.description_files([*names, "original/params.json", "onnx/config.json"]) == [
        "README.md",
        "config.json",
        "modeling_own.py",
        "sub/vocab.json",
    ]
