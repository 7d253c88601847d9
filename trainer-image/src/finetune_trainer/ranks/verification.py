# SPDX-License-Identifier: Apache-2.0
"""What was saved is loaded again, as its user will load it, and must answer.

In rank 0's process, but from the files alone: the base model is loaded afresh and the trained one
is gone. A process of its own would cost another import of torch and prove nothing more.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoTokenizer, GenerationConfig
from trl import get_quantization_config
from trl.trainer.utils import create_model_from_path

from finetune_contract.progress import Progress, TrainerPhase
from finetune_trainer.ranks import soundness
from finetune_trainer.ranks.arguments import Arguments
from finetune_trainer.ranks.chat.ends import require_ending
from finetune_trainer.ranks.evaluation import samples
from finetune_trainer.ranks.evaluation.answer_book import Document
from finetune_trainer.ranks.evaluation.judging import Judge
from finetune_trainer.ranks.model.loading import model_init_kwargs
from finetune_trainer.ranks.model.tokens import fit_embeddings
from finetune_trainer.ranks.movement import fates
from finetune_trainer.ranks.movement.account import Account
from finetune_trainer.workspace import Workspace, write_atomically

ADAPTER_CONFIG = "adapter_config.json"
GREETING = samples.Prompt(content="Hello", expected="")
"""What the model is asked where the data holds out no prompt."""
GREETING_TOKENS = 16


def tell_phase(workspace: Workspace) -> None:
    """Training is over: from here on a stop waits only for what no checkpoint holds."""
    progress = Progress.from_body(workspace.progress.read_bytes())
    verifying = replace(progress, phase=TrainerPhase.VERIFYING, eta_seconds=None)
    write_atomically(workspace.progress, verifying.to_body())


def verify(
    workspace: Workspace,
    arguments: Arguments,
    judge: Judge,
    answers_before: list[str | None],
    movement: Account,
    *,
    is_chat: bool,
) -> Document:
    """Check the artifact; the held-out prompts with the answers before and after training.

    `movement` tells which tensors training has changed; `is_chat` that it learned from
    conversations, whose turns it must know how to end.

    Raises:
        AttemptFailed: the artifact is not fit for use.
    """
    artifact = workspace.artifact
    is_adapter = (artifact / ADAPTER_CONFIG).is_file()
    soundness.require_sound_tensors(artifact, is_adapter=is_adapter, moved=movement.published)
    if not is_adapter:
        _require_moved(artifact, arguments, movement)
    fates.require_all_moved(movement)
    tokenizer = AutoTokenizer.from_pretrained(artifact)
    model = _load(artifact, arguments, tokenizer, is_adapter=is_adapter)
    require_ending(tokenizer, model.generation_config, is_chat=is_chat)
    if not judge.prompts:
        samples.answers(model, tokenizer, [GREETING], samples.Budget(max_tokens=GREETING_TOKENS))
        return []
    after = samples.answers(model, tokenizer, judge.prompts, judge.budget)
    if is_adapter:
        with model.disable_adapter():
            answers_before = samples.answers(model, tokenizer, judge.prompts, judge.budget)
    return judge.book.document(judge.prompts, answers_before, after)


def _require_moved(artifact: Path, arguments: Arguments, movement: Account) -> None:
    base = str(arguments.model.model_name_or_path)
    options = model_init_kwargs(arguments) | {"device_map": None}

    def load() -> Any:
        return create_model_from_path(base, **options).state_dict()

    revision = arguments.model.model_revision
    soundness.require_moved(artifact, base, revision, load, movement.published)


def _load(artifact: Path, arguments: Arguments, tokenizer: Any, *, is_adapter: bool) -> Any:
    """The tuned model, loaded as its user will load it.

    Raises:
        AttemptFailed: it does not load, or is not all there.
    """
    try:
        if is_adapter:
            return _load_adapter(artifact, arguments, tokenizer)
        return _load_model(artifact, arguments)
    except torch.OutOfMemoryError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        kind = "adapter" if is_adapter else "model"
        first = str(error).strip().partition("\n")[0]
        raise soundness.broken(
            f"the saved {kind} does not load: {type(error).__name__}: {first}"
        ) from error


def _load_model(artifact: Path, arguments: Arguments) -> Any:
    options = model_init_kwargs(arguments) | {"revision": None}
    model, found = create_model_from_path(str(artifact), output_loading_info=True, **options)
    soundness.require_whole_model(found["missing_keys"])
    return _on_device(model, arguments)


def _load_adapter(artifact: Path, arguments: Arguments, tokenizer: Any) -> Any:
    options = model_init_kwargs(arguments)
    if (quantization := get_quantization_config(arguments.model)) is not None:
        options["quantization_config"] = quantization
    if torch.cuda.is_available() and not arguments.training.use_cpu:
        # One device: the other ranks' devices are still theirs.
        options["device_map"] = {"": int(os.environ.get("LOCAL_RANK", "0"))}
    base = create_model_from_path(str(arguments.model.model_name_or_path), **options)
    # `added_tokens` and a cloned chat template bring tokens that the base model lacks.
    fit_embeddings(base, tokenizer)
    model = PeftModel.from_pretrained(base, artifact)
    soundness.require_whole_adapter(artifact, model)
    # Its base model may end by other tokens.
    base.generation_config = GenerationConfig.from_pretrained(artifact)
    return _on_device(model, arguments)


def _on_device(model: Any, arguments: Arguments) -> Any:
    is_placed = bool(getattr(model, "hf_device_map", None))
    return model if is_placed else model.to(arguments.training.device)
