# SPDX-License-Identifier: Apache-2.0
"""What was saved is loaded again, as its user will load it, and must answer.

In rank 0's process, but from the files alone: the base model is loaded afresh and the trained one
is gone. A process of its own would cost another import of torch and prove nothing more.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftModel
from safetensors import safe_open
from transformers import AutoTokenizer
from trl import get_quantization_config
from trl.trainer.utils import create_model_from_path

from finetune_contract.progress import Progress, TrainerPhase
from finetune_trainer.failures import internal_error, user_error
from finetune_trainer.ranks import samples
from finetune_trainer.workspace import Workspace, write_atomically

if TYPE_CHECKING:
    from finetune_trainer.ranks.training import Arguments

ADAPTER_CONFIG = "adapter_config.json"
GREETING = samples.Prompt(content="Hello", expected="")
"""What the model is asked where the data holds out no prompt."""


def verify(
    workspace: Workspace,
    arguments: "Arguments",
    prompts: list[samples.Prompt],
    answers_before: list[str],
    max_tokens: int,
) -> list[dict[str, str]]:
    """Check the artifact; the held-out prompts with the answers before and after training.

    Raises:
        AttemptFailed: the artifact is not fit for use.
    """
    _tell_phase(workspace)
    artifact = workspace.artifact
    is_adapter = (artifact / ADAPTER_CONFIG).is_file()
    require_sound_tensors(artifact, is_adapter=is_adapter)
    tokenizer = AutoTokenizer.from_pretrained(artifact)
    model = _load(artifact, arguments, tokenizer, is_adapter=is_adapter)
    _require_ending(model, tokenizer)
    after = samples.answers(model, tokenizer, prompts or [GREETING], max_tokens)
    if not prompts:
        return []
    if is_adapter:
        with model.disable_adapter():
            answers_before = samples.answers(model, tokenizer, prompts, max_tokens)
    before = answers_before or [""] * len(prompts)
    return [
        {"prompt": prompt.question, "expected": prompt.expected, "before": old, "after": new}
        for prompt, old, new in zip(prompts, before, after, strict=True)
    ]


def require_sound_tensors(artifact: Path, *, is_adapter: bool) -> None:
    """
    Raises:
        AttemptFailed: no tensors, one that is not finite, or an adapter still at its start.
    """
    has_moved = not is_adapter
    count = 0
    for name, tensor in _tensors(artifact):
        count += 1
        if not torch.isfinite(tensor).all():
            raise user_error(
                "NotFinite",
                f"{name} holds values that are not finite: training has diverged",
                "lower learning_rate, or set max_grad_norm",
            )
        # LoRA's B begins at zero, so an adapter whose every B is zero changes nothing.
        has_moved = has_moved or ("lora_B" in name and bool(tensor.any()))
    if count == 0:
        raise internal_error(
            "NothingSaved", "the trainer saved no safetensors", "look at the trainer's log"
        )
    if not has_moved:
        raise user_error(
            "NothingTrained",
            "the adapter is still where it began: every lora_B is zero",
            "raise learning_rate or the number of steps, and check that the data counts for loss",
        )


def _tensors(artifact: Path) -> Iterator[tuple[str, Any]]:
    for file in sorted(artifact.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - safe_open is no mapping
                yield name, opened.get_tensor(name)


def _load(artifact: Path, arguments: "Arguments", tokenizer: Any, *, is_adapter: bool) -> Any:
    from finetune_trainer.ranks.training import model_init_kwargs

    options = model_init_kwargs(arguments)
    if not is_adapter:
        return _on_device(create_model_from_path(str(artifact), **options), arguments)
    if (quantization := get_quantization_config(arguments.model)) is not None:
        options["quantization_config"] = quantization
    if torch.cuda.is_available() and not arguments.training.use_cpu:
        # One device: the other ranks' devices are still theirs.
        options["device_map"] = {"": int(os.environ.get("LOCAL_RANK", "0"))}
    base = create_model_from_path(str(arguments.model.model_name_or_path), **options)
    if len(tokenizer) > base.get_input_embeddings().num_embeddings:
        # A cloned chat template brings tokens of its own.
        base.resize_token_embeddings(len(tokenizer))
    return _on_device(PeftModel.from_pretrained(base, artifact), arguments)


def _on_device(model: Any, arguments: "Arguments") -> Any:
    is_placed = bool(getattr(model, "hf_device_map", None))
    return model if is_placed else model.to(arguments.training.device)


def _require_ending(model: Any, tokenizer: Any) -> None:
    if tokenizer.eos_token_id is None or model.generation_config.eos_token_id is None:
        raise user_error(
            "EosMissing",
            "the tuned model has no end-of-sequence token: its answers would never end",
            "set eos_token to the token that ends a turn in the chat template",
        )


def _tell_phase(workspace: Workspace) -> None:
    progress = Progress.from_body(workspace.progress.read_bytes())
    verifying = replace(progress, phase=TrainerPhase.VERIFYING, eta_seconds=None)
    write_atomically(workspace.progress, verifying.to_body())
