# SPDX-License-Identifier: Apache-2.0
"""Loads the published artifact like its user: only from the files, with transformers and PEFT."""

from pathlib import Path
from typing import Any

from trainer.conftest import DIALOGUES
from trainer.in_process import Trained


def folder(trained: Trained) -> Path:
    """The directory of adapter or model; the attempt succeeded."""
    assert trained.outcome.failure is None, trained.words()
    adapter = trained.published / "adapter"
    return adapter if adapter.is_dir() else trained.published / "model"


def load_adapter(trained: Trained, base: Path, **options: Any) -> Any:
    """The published adapter on its base model, loaded as in the model card."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, **options)
    tokenizer = load_tokenizer(trained)
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer))
    return PeftModel.from_pretrained(model, folder(trained)).eval()


def load_model(trained: Trained) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder(trained)).eval()


def load_tokenizer(trained: Trained) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder(trained))


def tensors(trained: Trained) -> dict[str, Any]:
    """Everything that was published, by its name in the model."""
    from safetensors.torch import load_file

    found: dict[str, Any] = {}
    for file in sorted(folder(trained).glob("*.safetensors")):
        found |= load_file(file)
    return {name.removeprefix("base_model.model."): tensor for name, tensor in found.items()}


def tensors_of(model: Path) -> dict[str, Any]:
    """All tensors in a model's directory."""
    from safetensors.torch import load_file

    found: dict[str, Any] = load_file(model / "model.safetensors")
    return found


def losses(model: Any, tokenizer: Any) -> list[float]:
    """The loss of each training dialogue, without its padding: every token counts."""
    import torch

    found = []
    for question, answer in DIALOGUES.items():
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
            tokenize=False,
        )
        ids = tokenizer(text, return_tensors="pt").input_ids
        with torch.no_grad():
            found.append(float(model(input_ids=ids, labels=ids).loss))
    return found


def require_learned(model: Any, base: Path, tokenizer: Any) -> None:
    """Requires that the tuned model is better than its base on the training data."""
    from transformers import AutoModelForCausalLM

    before = AutoModelForCausalLM.from_pretrained(base).eval()
    before.resize_token_embeddings(max(len(tokenizer), before.vocab_size))
    assert sum(losses(model, tokenizer)) < sum(losses(before, tokenizer))
