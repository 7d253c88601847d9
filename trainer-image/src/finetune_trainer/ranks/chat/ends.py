# SPDX-License-Identifier: Apache-2.0
"""The token that ends answers: in the data, in generation, and in the saved model."""

import logging
from pathlib import Path
from typing import Any

from transformers.utils import GENERATION_CONFIG_NAME

from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.ranks.chat.rendering import closing_of, name_of, tokenizer_of

log = logging.getLogger(__name__)


def settle_ending(trainer: Any, *, is_chat: bool) -> None:
    """Makes the token that ends an answer in the data also end generation.

    That is the token after a template's answers, or for plain texts the tokenizer's EOS. A model
    whose generation already ends with it is not changed, and neither is an EOS that the config
    names.

    Raises:
        AttemptFailed: there is no such token.
    """
    processor, model = trainer.processing_class, trainer.model
    tokenizer = tokenizer_of(processor)
    closing = closing_of(processor).tokens if is_chat else ()
    if is_chat and not closing:
        log.warning(
            "the chat template of %s ends answers without a special token, so the tuned model "
            "may not stop",
            name_of(processor),
        )
    ids = [int(tokenizer.convert_tokens_to_ids(token)) for token in closing]
    if closing and not set(ids) & ending_ids(model.generation_config):
        log.warning(
            "the chat template ends answers with %s, and generation stopped at %s only: from now "
            "on it stops at both",
            closing[-1],
            tokenizer.eos_token,
        )
        _end_by(model, ids[-1])
        if trainer.args.eos_token is None:
            tokenizer.eos_token = closing[-1]
            model.config.get_text_config().eos_token_id = ids[-1]
    if tokenizer.eos_token_id is not None:
        _end_by(model, int(tokenizer.eos_token_id))
    require_ending(tokenizer, model.generation_config, is_chat=is_chat)


def _end_by(model: Any, token: int) -> None:
    ends = ending_ids(model.generation_config)
    if token not in ends:
        model.generation_config.eos_token_id = [token, *sorted(ends)]


def save_ending(trainer: Any, artifact: Path) -> None:
    """An adapter's directory also records the tokens that end its answers: its base may not."""
    path = artifact / GENERATION_CONFIG_NAME
    if trainer.args.should_save and not path.exists():
        # Not with `save_pretrained`, which refuses settings that some models were published with.
        trainer.model.generation_config.to_json_file(path)


def require_ending(tokenizer: Any, generation: Any, *, is_chat: bool) -> None:
    """
    Raises:
        AttemptFailed: the tuned model could not end its answers.
    """
    ends = ending_ids(generation)
    if tokenizer.eos_token_id is None or not ends:
        raise _endless("the tuned model has no end-of-sequence token")
    if tokenizer.eos_token_id not in ends:
        raise _endless(
            f"the tokenizer's end of sequence is {tokenizer.eos_token}, but generation does not "
            f"stop at it: its generation config has {sorted(ends)}"
        )
    closing = closing_of(tokenizer).tokens if is_chat else ()
    if closing and not ends & set(tokenizer.convert_tokens_to_ids(list(closing))):
        raise _endless(
            f"the chat template ends answers with {closing[-1]}, but generation does not stop at it"
        )


def _endless(found: str) -> AttemptFailed:
    return attempt_failed(
        Reason.EOS_MISSING,
        f"{found}: its answers would not stop",
        "set eos_token to the token that ends a turn in the chat template",
    )


def ending_ids(generation: Any) -> set[int]:
    """The tokens that end generation."""
    found = generation.eos_token_id
    if found is None:
        return set()
    return {int(token) for token in found} if isinstance(found, list | tuple) else {int(found)}
