# SPDX-License-Identifier: Apache-2.0
"""The LoRA that TRL's keys describe, with the embeddings of the tokens that are added."""

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
    """PEFT's config; None where the model itself is trained.

    Of the embeddings only the rows of added tokens are trained, and only these are saved.

    Raises:
        AttemptFailed: the head can't be trained row by row, or not beside what is trained whole.
    """
    config = get_peft_config(arguments.model)
    if config is None or not added_tokens:
        return config
    whole = config.modules_to_save or []
    parts = [model.get_input_embeddings()]
    if is_tied(model):
        # The head follows the embedding by PEFT's own doing.
        _require_one_wrapper(model, whole)
    elif not clones_template(arguments.training):
        # TRL trains the head whole where it clones a template, and PEFT refuses both.
        parts.append(model.get_output_embeddings())
    _require_plain_head(model, whole)
    names = [name for part in parts if (name := _name_in(model, part)) not in whole]
    config.trainable_token_indices = {name: list(added_tokens) for name in names} or None
    return config


def fit_token_rows(model: Any, *, is_sharded: bool) -> None:
    """Fit PEFT's wrappers around embeddings to TRL's loss, and to what is worth saving.

    Raises:
        AttemptFailed: FSDP is to shard what PEFT copies the rows into.
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
        # The fused loss asks a head for its bias, and the wrapper passes on nothing but the weight.
        wrapper.bias = None
    if wrappers:
        # PEFT saves a resized embedding whole, though the trained rows are all that is new in it.
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
    """As PEFT matches it: the end of its whole name."""
    name = next(name for name, module in model.named_modules() if module is part)
    return name.rpartition(".")[2]
