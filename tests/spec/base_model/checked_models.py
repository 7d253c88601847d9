# SPDX-License-Identifier: Apache-2.0
"""Base models as their config.json on the hub, and the reports of their check."""

from collections.abc import Mapping
from typing import Any

from finetune_spec.base_model import check_base_model
from finetune_spec.config import Context, read_config

LLAMA: Mapping[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": 1000,
    "tie_word_embeddings": False,
}
LORA = {"use_peft": True}


def told(config: Mapping[str, Any], model: Mapping[str, Any]) -> list[str]:
    """Errors as their user reads them; warnings begin with a word that marks them."""
    context = Context(model=model)
    read = read_config({"model_name_or_path": "acme/base", **config}, context.schema)
    return [
        f"{'warning: ' * problem.is_warning}{problem}"
        for problem in check_base_model(read, context)
    ]


def of(model_type: str, *architectures: str, **more: Any) -> dict[str, Any]:
    return {**LLAMA, "model_type": model_type, "architectures": list(architectures), **more}
