# SPDX-License-Identifier: Apache-2.0
"""The LoRA adapter from TRL's keys, with the embeddings of added tokens."""

from functools import partial
from typing import Any

from peft import PeftConfig
from peft.utils import TrainableTokensWrapper
from trl import get_peft_config

from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import attempt_failed
from finetune_trainer.ranks.arguments import Arguments
from finetune_trainer.ranks.model.freezing import is_tied
from finetune_trainer.ranks.model.tokens import clones_template


def adapter_config(arguments: Arguments, model: Any, added_tokens: list[int]) -> PeftConfig | None:
    """PEFT's config; None for full fine-tuning.

    Only the rows of added tokens are trained and saved of the embeddings.

    Raises:
        AttemptFailed: the head cannot be trained row by row, or not together with modules that are
          trained in full.
    """
    config = get_peft_config(arguments.model)
    if config is None or not added_tokens:
        return config
    whole = config.modules_to_save or []
    parts = [model.get_input_embeddings()]
    if is_tied(model):
        # PEFT itself makes the head follow the embedding.
        _require_one_wrapper(model, whole)
    elif not clones_template(arguments.training):
        # TRL trains the complete head if it clones a template, and PEFT refuses both.
        parts.append(model.get_output_embeddings())
    _require_plain_head(model, whole)
    names = [name for part in parts if (name := _name_in(model, part)) not in whole]
    config.trainable_token_indices = {name: list(added_tokens) for name in names} or None
    return config


def fit_token_rows(model: Any, *, is_sharded: bool) -> None:
    """Adapts PEFT's wrappers around embeddings to TRL's loss and to saving.

    Raises:
        AttemptFailed: FSDP would shard the module into which PEFT copies the rows.
    """
    wrappers = [part for part in model.modules() if isinstance(part, TrainableTokensWrapper)]
    if wrappers and is_sharded:
        raise attempt_failed(
            Reason.INVALID_CONFIG,
            "chat_template_path: it adds new tokens, and PEFT with FSDP cannot train single rows "
            "of an embedding",
            "set accelerate_config to ddp or zero2, or remove use_peft to train the full model",
        )
    for wrapper in wrappers:
        # The fused loss reads the head's bias, and the wrapper passes on only the weight.
        wrapper.bias = None
    if wrappers:
        # PEFT saves a resized embedding completely, though only the trained rows are new.
        model.save_pretrained = partial(model.save_pretrained, save_embedding_layers=False)


def _require_one_wrapper(model: Any, whole: list[str]) -> None:
    embedding = _name_in(model, model.get_input_embeddings())
    head = _name_in(model, model.get_output_embeddings())
    if head in whole or embedding in whole:
        raise attempt_failed(
            Reason.INVALID_CONFIG,
            f"lora_modules_to_save: found {head if head in whole else embedding} together with "
            f"tokens that are added to {type(model).__name__}, whose head shares its weights "
            "with the embedding",
            "remove it: the new tokens' rows of both are trained anyway; or remove use_peft to "
            "train all rows",
        )


def _require_plain_head(model: Any, whole: list[str]) -> None:
    head = model.get_output_embeddings()
    if getattr(head, "bias", None) is None or _name_in(model, head) in whole:
        return
    raise attempt_failed(
        Reason.INVALID_CONFIG,
        f"added_tokens: the output head of {type(model).__name__} has a bias, with which PEFT "
        "cannot train single tokens",
        f"write {_name_in(model, head)} into lora_modules_to_save, or remove use_peft to train "
        "the full model",
    )


def _name_in(model: Any, part: Any) -> str:
    """As PEFT matches it: the end of its complete name."""
    name = next(name for name, module in model.named_modules() if module is part)
    return name.rpartition(".")[2]
