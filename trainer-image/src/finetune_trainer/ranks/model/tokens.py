# SPDX-License-Identifier: Apache-2.0
"""A vocabulary with more tokens: those that the config adds, and those of a cloned template."""

import logging
from collections.abc import Sequence
from typing import Any

from trl import SFTConfig
from trl.chat_template_utils import clone_chat_template

log = logging.getLogger(__name__)


def add_tokens(model: Any, processor: Any, tokens: Sequence[str]) -> list[int]:
    """Their ids. transformers initializes the new embeddings around the mean.

    A token that already exists, such as a reserved one of the model, is trained anyway.
    """
    if not tokens:
        return []
    tokenizer = tokenizer_of(processor)
    known = [token for token in tokens if token in tokenizer.get_vocab()]
    if known:
        log.info("tokens are in the vocabulary already tokens=%s", known)
    tokenizer.add_tokens([token for token in tokens if token not in known])
    fit_embeddings(model, tokenizer)
    return sorted({int(tokenizer.convert_tokens_to_ids(token)) for token in tokens})


def clones_template(training: SFTConfig) -> bool:
    """Whether the chat template belongs to another model, whose tokens are added with it."""
    path = training.chat_template_path
    return path is not None and not path.endswith((".jinja", ".j2"))


def clone_template(model: Any, processor: Any, training: SFTConfig) -> list[int]:
    """The ids of the tokens of another model's template, added as in `SFTTrainer`.

    Only used for an adapter on a model with tied embeddings: there TRL 1.16 wraps the head twice,
    and its own loss cannot read it.
    """
    _, _, ids = clone_chat_template(model, processor, str(training.chat_template_path))
    training.chat_template_path = None
    return list(ids)


def fit_embeddings(model: Any, tokenizer: Any) -> None:
    """Enlarges the embeddings if the tokenizer has more tokens; many have spare rows."""
    embeddings = model.get_input_embeddings()
    if len(tokenizer) > embeddings.num_embeddings:
        # A drawn one has no values to take a mean of.
        model.resize_token_embeddings(len(tokenizer), mean_resizing=not embeddings.weight.is_meta)


def tokenizer_of(processor: Any) -> Any:
    """The tokenizer inside an image processor, or the tokenizer itself."""
    return getattr(processor, "tokenizer", processor)
