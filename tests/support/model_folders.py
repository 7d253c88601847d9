# SPDX-License-Identifier: Apache-2.0
"""Realistic model directories: real names, headers and pointers, and no weights."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LLAMA: Mapping[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 100,
    "tie_word_embeddings": False,
}
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 4976698672\n"


def tensors_of(config: Mapping[str, Any] = LLAMA) -> dict[str, tuple[int, ...]]:
    """The tensors in a Llama's files."""
    hidden, width = config["hidden_size"], config["intermediate_size"]
    matrices = {
        **{f"self_attn.{name}_proj": (hidden, hidden) for name in "qkvo"},
        **{f"mlp.{name}_proj": (width, hidden) for name in ("gate", "up")},
        "mlp.down_proj": (hidden, width),
        "input_layernorm": (hidden,),
        "post_attention_layernorm": (hidden,),
    }
    return {
        "model.embed_tokens.weight": (config["vocab_size"], hidden),
        **{
            f"model.layers.{layer}.{name}.weight": shape
            for layer in range(config["num_hidden_layers"])
            for name, shape in matrices.items()
        },
        "model.norm.weight": (hidden,),
        "lm_head.weight": (config["vocab_size"], hidden),
    }


def write_weights(
    file: Path, tensors: Mapping[str, tuple[int, ...]], *, dtype: str = "BF16", cut: int = 0
) -> None:
    """A safetensors file of zeros; `cut` removes bytes at its end."""
    described, end = {}, 0
    for name, shape in tensors.items():
        size = 2
        for length in shape:
            size *= length
        described[name] = {"dtype": dtype, "shape": [*shape], "data_offsets": [end, end + size]}
        end += size
    header = json.dumps(described).encode()
    file.write_bytes((len(header).to_bytes(8, "little") + header + bytes(end))[: -cut or None])


def a_model(folder: Path, config: Mapping[str, Any] = LLAMA, **tensors: tuple[int, ...]) -> Path:
    """A complete Llama, its tokenizer and its weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    a_tokenizer(folder)
    write_weights(folder / "model.safetensors", {**tensors_of(config), **tensors})
    return folder


def a_tokenizer(folder: Path, **added: int) -> None:
    """A tokenizer of which only the beginning is real."""
    tokens = [{"id": place, "content": token, "special": True} for token, place in added.items()]
    document = {"version": "1.0", "added_tokens": tokens, "model": {"vocab": {}}}
    (folder / "tokenizer.json").write_text(json.dumps(document))


def write_index(folder: Path, files: Mapping[str, str]) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))


ADAPTER: Mapping[str, Any] = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "acme/base",
    "bias": "none",
    "r": 4,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "target_modules": ["q_proj", "v_proj"],
    "modules_to_save": None,
    "use_dora": False,
    "use_rslora": False,
    "loftq_config": {},
    "megatron_core": "megatron.core",
    "inference_mode": True,
}
"""What PEFT writes, shortened."""


def adapter_tensors(rank: int = 4, config: Mapping[str, Any] = LLAMA) -> dict[str, tuple[int, ...]]:
    """The tensors in the file of an adapter on a Llama's queries and values."""
    hidden = config["hidden_size"]
    return {
        f"base_model.model.model.layers.{layer}.self_attn.{name}_proj.lora_{half}.weight": shape
        for layer in range(config["num_hidden_layers"])
        for name in "qv"
        for half, shape in (("A", (rank, hidden)), ("B", (hidden, rank)))
    }


def an_adapter(folder: Path, **changed: Any) -> Path:
    """A complete adapter; a value of None removes an option."""
    folder.mkdir(parents=True, exist_ok=True)
    options = {key: it for key, it in {**ADAPTER, **changed}.items() if it is not None}
    (folder / "adapter_config.json").write_text(json.dumps(options))
    write_weights(folder / "adapter_model.safetensors", adapter_tensors(), dtype="F32")
    return folder
